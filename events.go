package lightning

import "github.com/lightningdb/lightning/internal/event"

// What an EventListener is told.
type (
	// EventListener has functions that are told what happens to a database; those that are nil are
	// not. See its fields.
	EventListener = event.Listener

	OpenInfo       = event.OpenInfo
	FlushInfo      = event.FlushInfo
	CompactionInfo = event.CompactionInfo
	StallInfo      = event.StallInfo
	LogInfo        = event.LogInfo
	TableInfo      = event.TableInfo
	CorruptionInfo = event.CorruptionInfo
	HealInfo       = event.HealInfo
	DiskInfo       = event.DiskInfo
	ScrubInfo      = event.ScrubInfo
	FailureInfo    = event.FailureInfo
	HandleInfo     = event.HandleInfo
)
