package main

import "testing"

func TestCompact(t *testing.T) { runScripts(t, "compact") }
