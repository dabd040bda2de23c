module github.com/lightningdb/lightning/contrib/datastore

go 1.26.0

require (
	github.com/ipfs/go-datastore v0.9.2
	github.com/lightningdb/lightning v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/ipfs/go-detect-race v0.0.1 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/klauspost/cpuid/v2 v2.3.0 // indirect
	github.com/klauspost/reedsolomon v1.14.2 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/lightningdb/lightning => ../..
