package chart

import (
	"fmt"
	"slices"
	"strings"
)

// colour is one of the palette, for a light and for a dark background. Each has
// a contrast of at least 3 to its background, as a test makes sure.
type colour struct{ light, dark string }

// colours begins with those that belong to an engine by name, in the order of
// owners; the rest go to other names as they come.
var colours = []colour{
	{"#d9480f", "#ff922b"},
	{"#1c6fb8", "#5aa9f0"},
	{"#7a4fc0", "#b197fc"},
	{"#2b8a3e", "#51cf66"},
	{"#0b7285", "#3bc9db"},
	{"#a61e6b", "#f783ac"},
	{"#856404", "#e8c547"},
	{"#6b4226", "#c49a6c"},
	{"#5c677d", "#adb5bd"},
	{"#364fc7", "#91a7ff"},
	{"#5c940d", "#a9e34b"},
}

var owners = []string{"lightning", "pebble", "badger", "bbolt", "goleveldb", "lmdb", "rocksdb"}

const (
	lightGround = "#ffffff"
	darkGround  = "#0d1117"
)

// Palette gives every name a colour that is the same in all charts. Names that
// are known have theirs in every report; after the last colour they repeat.
type Palette struct{ index map[string]int }

// NewPalette returns the palette for names.
func NewPalette(names []string) Palette {
	p := Palette{index: make(map[string]int)}
	next := len(owners)
	for _, name := range names {
		at := slices.Index(owners, name)
		if at < 0 {
			at = len(owners) + (next-len(owners))%(len(colours)-len(owners))
			next++
		}
		p.index[name] = at
	}
	return p
}

// Class returns the class of what belongs to a name. A name that the palette
// was not made for has none.
func (p Palette) Class(name string) string {
	if at, ok := p.index[name]; ok {
		return fmt.Sprintf("c%d", at)
	}
	return ""
}

const styleShapes = `.chart{font:11px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.chart text{fill:var(--ink)}
.chart .own{font-weight:700}
.chart .head{font-size:13px;font-weight:600}
.chart .title{font-size:17px;font-weight:700}
.chart .faint{fill:var(--faint)}
.chart .ground{fill:var(--ground);stroke:var(--rule)}
.chart .grid{stroke:var(--rule);stroke-width:1}
.chart .whisker{stroke:var(--ink);stroke-width:1.2}
.chart rect,.chart circle{fill:var(--c)}
.chart path{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
.chart .dashed{stroke-dasharray:6 3}
.chart .dotted{stroke-dasharray:1.5 3;stroke-width:1.5}
`

// Style returns the style sheet that the charts of a page need, once.
func Style() string {
	var light, dark strings.Builder
	for i, c := range colours {
		fmt.Fprintf(&light, ".c%d{--c:%s}\n", i, c.light)
		fmt.Fprintf(&dark, ".c%d{--c:%s}\n", i, c.dark)
	}
	return fmt.Sprintf(":root{--ground:%s;--ink:#1f2328;--faint:#59636e;--rule:#d1d9e0}\n%s%s"+
		"@media(prefers-color-scheme:dark){\n"+
		":root{--ground:%s;--ink:#e6edf3;--faint:#9aa4af;--rule:#3d444d}\n%s}\n",
		lightGround, light.String(), styleShapes, darkGround, dark.String())
}
