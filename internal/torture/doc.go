// Package torture tries to make the database lose or invent data: random
// operations against the model, crashes at every operation of a strict
// in-memory file system, and operations that fail. It holds tests only.
package torture
