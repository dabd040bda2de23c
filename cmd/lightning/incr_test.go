package main

import "testing"

func TestIncr(t *testing.T) { runScripts(t, "incr") }
