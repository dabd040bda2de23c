package mutant

import (
	"go/format"
	"strings"
	"testing"
)

// example is the code that the tests below find places in.
const example = `package engine

import "errors"

const grace = 3

type DB struct{}

func (db *DB) commit(batch []byte, sync bool) error {
	if err := db.log.Append(batch); err != nil {
		return db.poison("log", err)
	}
	// Only now is it durable.
	if sync && len(batch) > 0 && !db.opts.Lazy {
		if err := db.log.Sync(); err != nil {
			return db.poison("sync", err)
		}
	}
	db.apply(batch)
	db.publish()
	switch {
	case len(batch) > grace:
		db.wake()
	}
	return errors.Join(db.check(), nil)
}

func (db *DB) close() error {
	edit := &Edit{First: 1, Last: db.last}
	err := db.log.Sync()
	for range db.tables {
		db.apply(nil)
	}
	return err
}

func apply() {}

func (t *Table) close() { t.log.Close() }
`

func exampleSources(t testing.TB, texts map[string]string) *Sources {
	t.Helper()
	s, err := parseSources(texts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inList reads the lines below the suites of a mutant.
func inList(t testing.TB, lines string) *Mutant {
	t.Helper()
	all, err := parseList("x.txt", "a-b: promise\n\tsuites api\n"+lines)
	if err != nil {
		t.Fatal(err)
	}
	return &all[0]
}

func formatted(t testing.TB, text string) string {
	t.Helper()
	b, err := format.Source([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestOperations(t *testing.T) {
	s := exampleSources(t, map[string]string{"engine/a.go": example})
	for _, c := range []struct{ name, lines, old, now string }{
		{"another method", "\tin commit at $log.Sync()\n\tput $log.Flush()", "if err := db.log.Sync()", "if err := db.log.Flush()"},
		{"no error", "\tin commit at $log.Sync()\n\tput error(nil)", "if err := db.log.Sync()", "if err := error(nil)"},
		{"a constant", "\tin grace at 3\n\tput 2", "grace = 3", "grace = 2"},
		{"a condition", "\tin commit at len(batch) > grace\n\tput true", "len(batch) > grace:", "true:"},
		{"a head", "\tin commit at if err := $log.Append(batch); err != nil {\n\tput if err := $log.Append(nil); err != nil {", "Append(batch)", "Append(nil)"},
		{"a clause's head", "\tin commit at case $x > grace:\n\tput case $x >= grace:", "> grace:", ">= grace:"},
		{"arguments", "\tin commit at $_.poison(\"log\", $*rest)\n\tput $recv.poison($*rest)", `poison("log", err)`, "poison(err)"},
		{"drop a call", "\tin commit at $_.publish()\n\tdrop", "\tdb.publish()\n", ""},
		{"drop a statement", "\tin close at for range $_ {\n\tdrop", "\tfor range db.tables {\n\t\tdb.apply(nil)\n\t}\n", ""},
		{"drop a clause", "\tin commit at case len($_) > $_:\n\tdrop", "\tcase len(batch) > grace:\n\t\tdb.wake()\n", ""},
		{"drop the first operand", "\tin commit at sync\n\tdrop", "sync && len(batch)", "len(batch)"},
		{"drop the middle operand", "\tin commit at len(batch) > 0\n\tdrop", " && len(batch) > 0", ""},
		{"drop the last operand", "\tin commit at !$opts.Lazy\n\tdrop", " && !db.opts.Lazy", ""},
		{"drop an argument", "\tin commit at $db.check()\n\tdrop", "db.check(), nil", "nil"},
		{"drop an element", "\tin close at Last: $_\n\tdrop", ", Last: db.last", ""},
		{"and", "\tin commit at len(batch) > 0\n\tand sync", "> 0 &&", "> 0 && sync &&"},
		{"or", "\tin commit at len(batch) > 0\n\tor sync", "len(batch) > 0 &&", "(len(batch) > 0 || sync) &&"},
		{"and of a head", "\tin commit at if err := $log.Append(batch); err != nil {\n\tand sync", "Append(batch); err != nil {", "Append(batch); err != nil && sync {"},
		{"before", "\tin commit at $_.apply(batch)\n\tbefore $recv.publish()", "\tdb.apply(batch)\n", "\tdb.publish()\n\tdb.apply(batch)\n"},
		{"before the statement around", "\tin commit at $_.Append(batch)\n\tbefore $recv.publish()", "\tif err := db.log.Append", "\tdb.publish()\n\tif err := db.log.Append"},
		{"after, on two lines", "\tin commit at $_.apply(batch)\n\tafter\n\t\t$recv.check()\n\t\t$recv.check()", "\tdb.apply(batch)\n", "\tdb.apply(batch)\n\tdb.check()\n\tdb.check()\n"},
		{"swap", "\tin commit at $_.apply(batch)\n\tswap", "\tdb.apply(batch)\n\tdb.publish()\n", "\tdb.publish()\n\tdb.apply(batch)\n"},
		{"statements in a row", "\tin commit at\n\t\t$db.apply($x)\n\t\t$db.publish()\n\tput $db.both($x)", "\tdb.apply(batch)\n\tdb.publish()\n", "\tdb.both(batch)\n"},
		{"a body kept", "\tin commit at\n\t\tif $_ {\n\t\t\tif err := $_.Sync(); $_ {\n\t\t\t\t$*body\n\t\t\t}\n\t\t}\n\tput\n\t\t$*body", formatted(t, example)[strings.Index(formatted(t, example), "\tif sync"):strings.Index(formatted(t, example), "\tdb.apply(batch)")], "\treturn db.poison(\"sync\", err)\n"},
		{"under", "\tin commit\n\tunder if err := $_.Sync(); err != nil {\n\tat return $_\n\tput return nil", `return db.poison("sync", err)`, "return nil"},
		{"the second of two", "\tin commit at 2/2 $_.poison($*_)\n\tput nil", `db.poison("sync", err)`, "nil"},
		{"by receiver", "\tin Table.close at $_.Close()\n\tdrop", "t.log.Close()", ""},
		{"by directory", "\tin engine/DB.close at $log.Sync()\n\tput $log.Flush()", "err := db.log.Sync()\n\tfor", "err := db.log.Flush()\n\tfor"},
		{"by what is in it", "\tin close at $_.Close()\n\tdrop", "t.log.Close()", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := s.mutate(inList(t, c.lines))
			if err != nil {
				t.Fatal(err)
			}
			plain := formatted(t, example)
			old := strings.ReplaceAll(c.old, "\n\n", "\n")
			if strings.Count(plain, old) != 1 {
				t.Fatalf("the test is wrong: %q", old)
			}
			want := formatted(t, strings.Replace(plain, old, c.now, 1))
			if got := formatted(t, m.change.apply(example)); withoutComments(got) != withoutComments(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func withoutComments(text string) string {
	var words []string
	for _, x := range tokens(text) {
		words = append(words, x.text)
	}
	return strings.Join(words, " ")
}

// TestAnchorsSurviveMoves moves the code in the ways that a mutant must not
// notice.
func TestAnchorsSurviveMoves(t *testing.T) {
	rename := func(old ...string) func(string) string { return strings.NewReplacer(old...).Replace }
	for name, change := range map[string]func(string) string{
		"nothing":                 func(s string) string { return s },
		"receiver":                rename("db *DB", "p *Pipeline", "db.", "p."),
		"field chain":             rename("db.log", "db.pipeline.log", "db.opts", "db.fields.opts"),
		"shorter chain":           rename("db.log", "log", "db.opts", "opts"),
		"exported method":         rename("db.apply(batch)", "db.Apply(batch)"),
		"function of a package":   rename("db.poison(", "errors.Poison("),
		"exported function":       rename(") commit(", ") Commit("),
		"layout":                  rename("sync && len", "sync &&\n\t\t\tlen", "db.publish()", "\n\n// Now.\ndb.publish() // all"),
		"package":                 rename("package engine", "package pipeline"),
		"a function of that name": func(s string) string { return s + "\nfunc commit() { forward() }\n" },
	} {
		t.Run(name, func(t *testing.T) {
			text := change(example)
			s := exampleSources(t, map[string]string{"engine/pipeline/b.go": text})
			for _, lines := range []string{
				"\tin commit at $log.Sync()\n\tput $log.Flush()",
				"\tin commit at !$opts.Lazy\n\tdrop",
				"\tin commit at $_.apply(batch)\n\tbefore $_x()",
				"\tin commit\n\tunder if err := $_.Sync(); $_ {\n\tat return $_\n\tput return nil",
				"\tin commit at len(batch) > 0\n\tdrop",
			} {
				m, err := s.find(inList(t, lines))
				if err != nil {
					t.Errorf("%v", err)
				} else if m.in.name != "commit" && m.in.name != "Commit" {
					t.Errorf("found in %v", m.in)
				}
			}
		})
	}
}

// TestNamesFollowMoves looks at the text that is put in after a name has got
// another form.
func TestNamesFollowMoves(t *testing.T) {
	for _, c := range []struct{ code, lines, want string }{
		{"func f() { Rooms.x(); memory.IsLarge(1) }", "\tin f at isLarge($n)\n\tput !isLarge($n)", "!memory.IsLarge(1)"},
		{"func f(d *D) { d.Merge(1) }", "\tin f at $d.merge($n)\n\tput $d.merge($n + 1)", "d.Merge(1 + 1)"},
		{"func f() { g(SeqNum(1)) }", "\tin f at g(base.SeqNum(1))\n\tput g(base.SeqNum(2))", "g(SeqNum(2))"},
	} {
		s := exampleSources(t, map[string]string{"b/a.go": "package base\n\nimport \"x/memory\"\n\n" + c.code})
		m, err := s.mutate(inList(t, c.lines))
		if err != nil {
			t.Errorf("%s: %v", c.code, err)
		} else if m.change.text != c.want {
			t.Errorf("got %s, want %s", m.change.text, c.want)
		}
	}
}

// TestWhatDoesNotFitIsExplained looks at what is said where no place is found.
func TestWhatDoesNotFitIsExplained(t *testing.T) {
	s := exampleSources(t, map[string]string{"engine/a.go": example})
	for _, c := range []struct{ name, lines, want string }{
		{"ambiguous", "\tin commit at $_.poison($*_)\n\tdrop", "occurs 2 times, not 1"},
		{"ambiguous, where", "\tin commit at $_.poison($*_)\n\tdrop", "engine/a.go:16: in engine/DB.commit"},
		{"ambiguous by function", "\tin close at $_.log\n\tput x", "occurs 2 times"},
		{"gone", "\tin commit at $_.Seal()\n\tdrop", `"$_.Seal()" does not occur in engine/DB.commit (engine/a.go:9)`},
		{"elsewhere", "\tin commit at $_.Close()\n\tdrop", "it occurs at engine/a.go:39: in engine/Table.close"},
		{"near", "\tin commit at sync && len(batch) > 9 && $_.opts.Hasty\n\tdrop", "near: engine/a.go:14: sync && len(batch) > 0"},
		{"no function", "\tin comit at $log.Sync()\n\tdrop", "there is engine/DB.commit (engine/a.go:9)"},
		{"no such receiver", "\tin Log.commit at $_.publish()\n\tdrop", "there is no Log.commit"},
		{"one less than said", "\tin commit at 2/3 $_.poison($*_)\n\tdrop", "occurs 2 times, not 3"},
		{"not under that", "\tin commit\n\tunder for range $_ {\n\tat $_.Sync()\n\tdrop", "but not under"},
		{"unknown placeholder", "\tin commit at $log.Sync()\n\tput $lag.Sync()", "$lag is not in the pattern"},
		{"no receiver", "\tin apply at $recv.x\n\tdrop", "does not occur"},
		{"bad pattern", "\tin commit at if x {{\n\tdrop", "is no Go"},
		{"bad text", "\tin commit at $_.publish()\n\tput {", "the mutated file is no Go"},
		{"the same", "\tin commit at $db.publish()\n\tput $db.publish()", "nothing is changed"},
		{"drop of half an expression", "\tin commit at $x > grace\n\tdrop", "it is no statement, operand, argument or element"},
		{"swap of the last", "\tin close at return err\n\tswap", "no statement follows"},
		{"and of a statement", "\tin close at return err\n\tand true", "it is no condition"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.mutate(inList(t, c.lines))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestListsAreChecked(t *testing.T) {
	const good = "# a comment\na-b: promise\n\tsuites api, engine\n\tin f at x\n\tdrop\n\nc-d: other\n\tsuites api\n\tin f\n\tunder g()\n\tat 1/2 x\n\tput\n\t\ty\n\t\tz\n"
	all, err := parseList("x.txt", good)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	if m := all[0]; m.Name != "a-b" || m.Breaks != "promise" || len(m.Suites) != 2 || m.In != "f" || m.At != "x" || m.Place != "x.txt:2" {
		t.Errorf("%+v", m)
	}
	if m := all[1]; m.Under != "g()" || m.Nth != 1 || m.Of != 2 || m.Text != "y\nz" {
		t.Errorf("%+v", m)
	}
	for _, c := range []struct{ text, want string }{
		{"A b: promise\n", "x.txt:1: the name"},
		{"a-b\n", "x.txt:1: the promise is missing"},
		{"\tin f at x\n", "x.txt:1: a mutant begins with its name"},
		{"a-b: p\n\tsuites api\n\tin f at x\n\tburn\n", `x.txt:4: "burn"`},
		{"a-b: p\n\tsuites apis\n", `x.txt:2: there is no suite "apis"`},
		{"a-b: p\n\tsuites api\n\tdrop x\n", "x.txt:3: no text belongs to drop"},
		{"a-b: p\n\tsuites api\n\tin f at x\n\tdrop\n\tput y\n", "x.txt:5: "},
		{"a-b: p\n\tin f at x\n\tdrop\n", "x.txt:1: a-b: it has no suites"},
		{"a-b: p\n\tsuites api\n\tdrop\n", "x.txt:1: a-b: the function or the pattern is missing"},
		{"a-b: p\n\tsuites api\n\tin f at x\n", "x.txt:1: a-b: the operation is missing"},
		{"a-b: p\n\tsuites api\n\tin f at x\n\tput\n", "x.txt:1: a-b: put has no text"},
		{"a-b: p\n\tsuites api\n\tin f at 3/2 x\n", "x.txt:3: there is no 3/2"},
		{"a-b: p\n\t\tx\n", "x.txt:2: nothing goes on here"},
	} {
		if _, err := parseList("x.txt", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}
