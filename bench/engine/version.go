package engine

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// standardLibrary is the Package of what comes with Go.
const standardLibrary = "std"

// VersionString returns the version that is built in: that of the C library, or
// that of the Go module as the information of the build has it.
func (e *Engine) VersionString() string {
	if e.Version != nil {
		return e.Version()
	}
	if e.Package == standardLibrary {
		return runtime.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path != e.Package {
			continue
		}
		if m.Replace != nil && strings.HasPrefix(m.Replace.Path, ".") {
			return "this tree"
		}
		return m.Version
	}
	return "unknown"
}
