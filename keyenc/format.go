package keyenc

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
)

// Format shows a key to people: its elements in parentheses, as in
//
//	("order", 42, desc 2026-01-02T15:04:05Z, 0x00ff)
//
// Different keys look different. What follows the last element that can be
// decoded is shown as malformed, with its bytes.
func Format(key []byte) string {
	text := []byte{'('}
	for d := NewDecoder(key); d.More(); {
		if len(text) > 1 {
			text = append(text, ", "...)
		}
		elem, err := d.Any()
		if err != nil {
			text = hex.AppendEncode(append(text, "malformed 0x"...), key[d.at:])
			break
		}
		text = formatElement(text, elem)
	}
	return string(append(text, ')'))
}

// formatElement appends an element as Decode returns it.
func formatElement(text []byte, elem any) []byte {
	switch v := elem.(type) {
	case bool:
		return strconv.AppendBool(text, v)
	case int64:
		return strconv.AppendInt(text, v, 10)
	case uint64:
		return strconv.AppendUint(text, v, 10)
	case float64:
		return formatFloat(text, v)
	case time.Time:
		return v.AppendFormat(text, time.RFC3339Nano)
	case UUID:
		return append(text, v.String()...)
	case string:
		return strconv.AppendQuote(text, v)
	case []byte:
		return hex.AppendEncode(append(text, "0x"...), v)
	case Tuple:
		text = append(text, '(')
		for i, inner := range v {
			if i > 0 {
				text = append(text, ", "...)
			}
			text = formatElement(text, inner)
		}
		return append(text, ')')
	case Descending:
		return formatElement(append(text, "desc "...), v.Value)
	}
	return append(text, "nil"...)
}

// formatFloat makes whole floats differ from integers.
func formatFloat(text []byte, v float64) []byte {
	begin := len(text)
	text = strconv.AppendFloat(text, v, 'g', -1, 64)
	whole := !math.IsNaN(v) && !math.IsInf(v, 0) && !strings.ContainsAny(string(text[begin:]), ".e")
	if whole {
		text = append(text, ".0"...)
	}
	return text
}
