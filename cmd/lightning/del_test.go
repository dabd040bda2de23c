package main

import "testing"

func TestDel(t *testing.T) { runScripts(t, "del") }
