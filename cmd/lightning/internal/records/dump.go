package records

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// A dump is all that a database holds, as JSON lines:
//
//	{"lightning_dump":1}
//	{"key":"a","value":"1"}                        a record of the default keyspace
//	{"keyspace":"users","ttl":"1h0m0s"}            from here on of this one
//	{"key":"b","value":"2","expires_at":"2026-01-02T15:04:05Z"}
//	{"keyspaces":1,"records":2}                    the last line
//
// Nothing of a dump is malformed and passed over: a line that is lost could be one
// that says where those after it belong.
const (
	// DumpMember is the member of the first line, DumpVersion its value.
	DumpMember  = "lightning_dump"
	DumpVersion = 1
	// ExpiryMember is the member that says when a record expires.
	ExpiryMember = "expires_at"
)

// DumpEnd is the last line of a dump. What does not have it is not whole.
type DumpEnd struct {
	Keyspaces int64 `json:"keyspaces"` // beside the default one
	Records   int64 `json:"records"`
}

var (
	errDumpCut  = errors.New("the dump ends without its last line: it is not whole")
	errDumpGoes = errors.New("the dump goes on behind its last line")
	errDumpLine = errors.New("this is a line of a dump, which the input does not begin as: is its first line lost?")
)

// ofDump reports whether a line, which is no record, is one of a dump.
func ofDump(members map[string]json.RawMessage) bool {
	return has(members, DumpMember) || has(members, "keyspace") || has(members, "keyspaces")
}

// dump reads one.
type dump struct {
	jsonl    jsonl
	keyspace *Keyspace // the present one; nil: the default one
	seen     DumpEnd
}

// newDump returns a reader if text begins like a dump, else nil.
func newDump(text *bufio.Reader) (source, error) {
	begin := []byte(`{"` + DumpMember + `":`)
	if start, _ := text.Peek(len(begin)); string(start) != string(begin) {
		return nil, nil // what cannot be read is told by the first read
	}
	d := &dump{jsonl: jsonl{
		lines: lineReader{text: text},
		opts:  Options{Key: []string{"key"}, Value: []string{"value"}, Expires: ExpiryMember},
	}}
	members, _, err := d.next()
	if err != nil {
		return nil, d.located(err)
	}
	var version int
	if err := json.Unmarshal(members[DumpMember], &version); err != nil || version != DumpVersion {
		return nil, fmt.Errorf("dump of version %s, of which only %d is known", members[DumpMember], DumpVersion)
	}
	return d, nil
}

func (d *dump) next() (members map[string]json.RawMessage, line []byte, err error) {
	if line, err = d.jsonl.lines.filled(); err != nil {
		return nil, nil, err
	}
	line = withoutEnd(line)
	members, err = membersOf(line)
	return members, line, err
}

// located says on which line an error is; not that of malformed lines, which could be
// passed over.
func (d *dump) located(err error) error {
	return fmt.Errorf("line %d: %w", d.jsonl.lines.line, err)
}

func (d *dump) read() (record Record, err error) {
	members, line, err := d.next()
	switch {
	case errors.Is(err, io.EOF):
		return Record{}, errDumpCut
	case err != nil:
	case has(members, "keyspaces"):
		if err = d.end(line); err == nil {
			return Record{}, io.EOF
		}
	case has(members, "keyspace"):
		d.seen.Keyspaces++
		d.keyspace, err = keyspaceOf(members)
		record.MakesKeyspace = true
	default:
		d.seen.Records++
		if err = onlyRecordMembers(members); err == nil {
			record, err = d.jsonl.record(line, members)
		}
	}
	if err != nil {
		return Record{}, d.located(err)
	}
	record.Keyspace, record.Line = d.keyspace, d.jsonl.lines.line
	return record, nil
}

// onlyRecordMembers refuses what no dump says of a record: whoever has written it there
// would miss it.
func onlyRecordMembers(members map[string]json.RawMessage) error {
	for name := range members {
		switch name {
		case "key", "key_hex", "value", "value_hex", ExpiryMember:
		default:
			return fmt.Errorf("member %q is none of a record in a dump", name)
		}
	}
	return nil
}

func has(members map[string]json.RawMessage, name string) bool {
	return members[name] != nil || members[name+"_hex"] != nil
}

// end compares the last line with what was read.
func (d *dump) end(line []byte) error {
	var end DumpEnd
	if err := json.Unmarshal(line, &end); err != nil {
		return err
	}
	if end != d.seen {
		return fmt.Errorf("the dump has %s in %s and says %d in %d",
			plural(int(d.seen.Records), "record"), plural(int(d.seen.Keyspaces), "keyspace"), end.Records, end.Keyspaces)
	}
	_, _, err := d.next()
	switch {
	case err == nil:
		return errDumpGoes
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// keyspaceOf reads what a dump says of a keyspace.
func keyspaceOf(members map[string]json.RawMessage) (*Keyspace, error) {
	texts := map[string]string{}
	for _, name := range []string{"keyspace", "compression", "ttl", "merge", "blobs_from"} {
		if !has(members, name) {
			continue
		}
		text, err := appendMembers(nil, members, []string{name}, "")
		if err != nil {
			return nil, err
		}
		texts[name] = string(text)
	}
	if len(texts) != len(members) {
		return nil, fmt.Errorf("keyspace %q has an option that is not known", texts["keyspace"])
	}
	k := &Keyspace{Name: texts["keyspace"], Compression: texts["compression"], Merge: texts["merge"]}
	var err error
	if ttl, ok := texts["ttl"]; ok {
		k.TTL, err = time.ParseDuration(ttl)
	}
	if from, ok := texts["blobs_from"]; ok && err == nil {
		k.BlobBytes, err = strconv.Atoi(from)
	}
	return k, err
}
