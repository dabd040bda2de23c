//go:build rocksdb

// The C interface of RocksDB does not tell the version.

#include <rocksdb/version.h>

#include <cstdio>

extern "C" void lightning_rocksdb_version(char *dst, size_t room) {
	std::snprintf(dst, room, "%s", rocksdb::GetRocksVersionAsString().c_str());
}
