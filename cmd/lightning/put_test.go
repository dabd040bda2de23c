package main

import "testing"

func TestPut(t *testing.T) { runScripts(t, "put") }
