package main

import "testing"

func TestScan(t *testing.T) { runScripts(t, "scan") }
