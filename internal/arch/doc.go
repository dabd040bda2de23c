// Package arch holds no code: its tests prove the shape of the repository.
//
//   - Every package has a tier, and imports go strictly downwards.
//   - The public package stays small and mentions no internal type. Methods stand
//     in the file of their type there.
//   - Calls that have no place in a library, or belong behind a seam, are made
//     only where they belong.
//   - Files and functions stay short enough to read, packages and types small
//     enough to know.
//   - Every lock is in docs/locks.md, in its place in the order, and is given
//     back by the function that took it.
//
// A broken rule is printed as file:line and what to do instead.
package arch
