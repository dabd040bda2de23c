package merge

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The names of the built-in operators.
const (
	AddInt64  = "add-int64"
	Max       = "max"
	Min       = "min"
	Append    = "append"
	SetUnion  = "set-union"
	JSONPatch = "json-merge-patch"
)

func builtIn() []Operator {
	return []Operator{
		{Name: AddInt64, Check: checkInt64, CheckValue: checkInt64, Merge: addInt64, Combine: joined(addInt64)},
		{Name: Max, Merge: pick(1), Combine: joined(pick(1))},
		{Name: Min, Merge: pick(-1), Combine: joined(pick(-1))},
		{Name: Append, Merge: concatenate, Combine: joined(concatenate)},
		{Name: SetUnion, Check: checkSet, CheckValue: checkSet, Merge: unite, Combine: joined(unite)},
		{Name: JSONPatch, Check: checkJSON, CheckValue: checkJSON, Merge: patchJSON},
	}
}

// joined makes a Combine of a Merge whose operands have the form of values.
func joined(merge func(dst, value []byte, operands [][]byte) ([]byte, error)) func([]byte, [][]byte) ([]byte, bool) {
	return func(dst []byte, operands [][]byte) ([]byte, bool) {
		out, err := merge(dst, nil, operands)
		return out, err == nil
	}
}

var errInt64 = errors.New("an integer has 8 bytes, little-endian")

func checkInt64(operand []byte) error {
	if len(operand) != 8 {
		return fmt.Errorf("%w, not %d bytes", errInt64, len(operand))
	}
	return nil
}

// addInt64 wraps around where the sum does not fit, as Go's addition does.
func addInt64(dst, value []byte, operands [][]byte) ([]byte, error) {
	var sum uint64
	if value != nil {
		if err := checkInt64(value); err != nil {
			return dst, err
		}
		sum = binary.LittleEndian.Uint64(value)
	}
	for _, operand := range operands {
		if err := checkInt64(operand); err != nil {
			return dst, err
		}
		sum += binary.LittleEndian.Uint64(operand)
	}
	return binary.LittleEndian.AppendUint64(dst, sum), nil
}

// pick keeps the greatest (1) or the least (-1) of all, bytewise.
func pick(sign int) func(dst, value []byte, operands [][]byte) ([]byte, error) {
	return func(dst, value []byte, operands [][]byte) ([]byte, error) {
		best := value
		for _, operand := range operands {
			if best == nil || sign*bytes.Compare(operand, best) > 0 {
				best = operand
			}
		}
		return append(dst, best...), nil
	}
}

func concatenate(dst, value []byte, operands [][]byte) ([]byte, error) {
	dst = append(dst, value...)
	for _, operand := range operands {
		dst = append(dst, operand...)
	}
	return dst, nil
}

// A set is its elements, ascending, each with its length before it as a uvarint.

// AppendSet appends the set of some elements to dst. It sorts elements.
func AppendSet(dst []byte, elements [][]byte) []byte {
	slices.SortFunc(elements, bytes.Compare)
	for i, e := range elements {
		if i > 0 && bytes.Equal(e, elements[i-1]) {
			continue
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(e))), e...)
	}
	return dst
}

var errSet = errors.New("malformed set")

// DecodeSet appends the elements of a set to dst. They alias it.
func DecodeSet(dst [][]byte, set []byte) ([][]byte, error) {
	var last []byte
	for first := true; len(set) > 0; first = false {
		n, w := binary.Uvarint(set)
		if w <= 0 || n > uint64(len(set)-w) || w > 1 && set[w-1] == 0 {
			return dst, errSet
		}
		e := set[w : w+int(n) : w+int(n)]
		if !first && bytes.Compare(last, e) >= 0 {
			return dst, fmt.Errorf("%w: elements out of order", errSet)
		}
		dst, last, set = append(dst, e), e, set[w+int(n):]
	}
	return dst, nil
}

func checkSet(operand []byte) error {
	_, err := DecodeSet(nil, operand)
	return err
}

func unite(dst, value []byte, operands [][]byte) ([]byte, error) {
	var elements [][]byte
	var err error
	for _, set := range append([][]byte{value}, operands...) {
		if elements, err = DecodeSet(elements, set); err != nil {
			return dst, err
		}
	}
	return AppendSet(dst, elements), nil
}

func checkJSON(operand []byte) error {
	if !json.Valid(operand) {
		return errors.New("not JSON")
	}
	return nil
}

// patchJSON is the merge patch of RFC 7396. Patches are not combined: one that
// replaces a document cannot be told from one that changes it.
func patchJSON(dst, value []byte, operands [][]byte) ([]byte, error) {
	var document any
	if value != nil {
		if err := decodeJSON(value, &document); err != nil {
			return dst, fmt.Errorf("value: %w", err)
		}
	}
	for _, operand := range operands {
		var patch any
		if err := decodeJSON(operand, &patch); err != nil {
			return dst, fmt.Errorf("operand: %w", err)
		}
		document = applyPatch(document, patch)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(document); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...), nil
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(b []byte, to *any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(to)
}

func applyPatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, change := range changes {
		if change == nil {
			delete(object, name)
		} else {
			object[name] = applyPatch(object[name], change)
		}
	}
	return object
}
