package aio

// What io_uring and a process have agreed on, as far as reads need it. The structures
// have no holes on any architecture.

const (
	opNop  = 0
	opRead = 22 // Linux 5.6

	setupCoopTaskrun = 1 << 8 // Linux 5.19: no interrupt for what is finished

	featureSingleMmap = 1 << 0 // one mapping for both rings

	enterGetEvents = 1 << 0

	registerProbe = 8
	opSupported   = 1 << 0

	offsetRings   = 0
	offsetEntries = 0x10000000
)

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32

	_  [3]uint32
	sq struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

// submission is struct io_uring_sqe.
type submission struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset        uint64
	address       uint64
	length        uint32
	rwFlags       uint32
	userData      uint64
	_             [3]uint64
}

const submissionBytes = 64

// completion is struct io_uring_cqe.
type completion struct {
	userData uint64
	result   int32
	flags    uint32
}

const completionBytes = 16

// operations is struct io_uring_probe for the operations up to opRead.
type operations struct {
	lastOp, opsLen uint8
	_              uint16
	_              [3]uint32
	ops            [opRead + 1]struct {
		op, _ uint8
		flags uint16
		_     uint32
	}
}
