package main

import "testing"

func TestTouch(t *testing.T) { runScripts(t, "touch") }
