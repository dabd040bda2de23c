package main

import "testing"

func TestStats(t *testing.T) { runScripts(t, "stats") }
