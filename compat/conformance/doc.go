// Package conformance compares the packages of compat with the engines whose API they have: random
// programs run on both, and every answer must be the same. It is a module of its own, so that those
// engines weigh on nobody, and is made of tests alone.
package conformance
