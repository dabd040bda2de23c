package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/lightningdb/lightning"
)

// choice is a flag with a fixed set of values. It implements pflag.Value.
type choice[T comparable] struct {
	value T
	names []string
	all   []T // beside names
}

func (c *choice[T]) String() string {
	for i, value := range c.all {
		if value == c.value {
			return c.names[i]
		}
	}
	return ""
}

func (c *choice[T]) Set(text string) error {
	for i, name := range c.names {
		if text == name {
			c.value = c.all[i]
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(c.names, ", "))
}

func (c *choice[T]) Type() string { return strings.Join(c.names, "|") }

func newDurability(value lightning.Durability) *choice[lightning.Durability] {
	return &choice[lightning.Durability]{
		value: value,
		names: []string{"sync", "buffered", "async"},
		all:   []lightning.Durability{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync},
	}
}

func newCompression() *choice[lightning.Compression] {
	return &choice[lightning.Compression]{
		value: lightning.CompressionDefault,
		names: []string{"default", "none", "fast", "small"},
		all: []lightning.Compression{
			lightning.CompressionDefault, lightning.CompressionNone, lightning.CompressionFast, lightning.CompressionSmall,
		},
	}
}

// byteSize is a flag such as 64MiB. It implements pflag.Value.
type byteSize int64

func (s *byteSize) String() string { return humanize.IBytes(uint64(*s)) }

func (s *byteSize) Set(text string) error {
	size, err := humanize.ParseBytes(text)
	if err != nil || size == 0 || size > 1<<62 {
		return fmt.Errorf("must be a size such as 64MiB or 2GiB")
	}
	*s = byteSize(size)
	return nil
}

func (s *byteSize) Type() string { return "size" }
