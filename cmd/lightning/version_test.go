package main

import "testing"

func TestVersion(t *testing.T) { runScripts(t, "version") }
