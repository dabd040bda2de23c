package main

import "testing"

func TestGet(t *testing.T) { runScripts(t, "get") }
