package main

import "testing"

func TestRoot(t *testing.T) { runScripts(t, "root") }
