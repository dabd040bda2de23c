package main

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/spf13/cobra"
)

// How results are printed is chosen alike for all commands that have some:
// --format NAME, or -f, of the formats that the command has, and --json, which is
// --format json for short. JSON is one indented object where a command has one
// result, and an object a line where it has many.

// outputFormat is a form in which results are printed.
type outputFormat uint8

const (
	formatTable outputFormat = iota // for people
	formatRaw
	formatQuoted
	formatHex
	formatJSON
)

// addFormat gives a command its formats. The first is that of a command line that
// says nothing.
func addFormat(cmd *cobra.Command, formats ...outputFormat) *choice[outputFormat] {
	names := map[outputFormat]string{
		formatTable: "table", formatRaw: "raw", formatQuoted: "quoted", formatHex: "hex", formatJSON: "json",
	}
	format := &choice[outputFormat]{value: formats[0], all: formats}
	for _, f := range formats {
		format.names = append(format.names, names[f])
	}
	cmd.Flags().VarP(format, "format", "f", "how to print")
	addJSON(cmd, format)
	return format
}

// addJSON gives a command --json alone.
func addJSON(cmd *cobra.Command, format *choice[outputFormat]) {
	usage := "print JSON"
	if cmd.Flags().Lookup("format") != nil {
		usage = "the same as --format json"
	}
	cmd.Flags().VarPF(jsonFlag{format}, "json", "", usage).NoOptDefVal = "true"
}

// jsonFlag sets a format to JSON. It implements pflag.Value.
type jsonFlag struct{ format *choice[outputFormat] }

func (f jsonFlag) String() string {
	return strconv.FormatBool(f.format != nil && f.format.value == formatJSON)
}

func (f jsonFlag) Set(text string) error {
	is, err := strconv.ParseBool(text)
	if is {
		f.format.value = formatJSON
	}
	return err
}

func (f jsonFlag) Type() string { return "bool" }

// checkFormat refuses a command line that asks for two formats.
func checkFormat(cmd *cobra.Command) error {
	format, isJSON := cmd.Flags().Lookup("format"), cmd.Flags().Lookup("json")
	if format == nil || isJSON == nil || !format.Changed || !isJSON.Changed {
		return nil
	}
	if _, ours := format.Value.(*choice[outputFormat]); ours {
		return usagef("--json is --format json: give one of them")
	}
	return nil
}

// printJSON prints the one result of a command.
func printJSON(w io.Writer, result any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// printJSONLine prints one of several results.
func printJSONLine(w io.Writer, result any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(result)
}
