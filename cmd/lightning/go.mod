module github.com/lightningdb/lightning/cmd/lightning

go 1.26.0

require (
	github.com/dustin/go-humanize v1.1.0
	github.com/lightningdb/lightning v0.0.0
	github.com/lightningdb/lightning/internal/torture v0.0.0
	github.com/rogpeppe/go-internal v1.16.0
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
)

require (
	github.com/anishathalye/porcupine v1.3.1 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/klauspost/cpuid/v2 v2.2.10 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	golang.org/x/tools v0.26.0 // indirect
)

replace (
	github.com/lightningdb/lightning => ../..
	github.com/lightningdb/lightning/internal/torture => ../../internal/torture
)
