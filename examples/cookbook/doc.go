// Package cookbook has the code of docs/cookbook.md: a file for each recipe, which knows nothing of
// the others, and an example that runs it. The tests compare the page with the files, so what the
// page shows is what is compiled and run.
//
// It is there to be read and copied from, not to be imported.
package cookbook
