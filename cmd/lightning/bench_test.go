package main

import "testing"

func TestBench(t *testing.T) { runScripts(t, "bench") }
