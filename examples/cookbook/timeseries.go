package cookbook

import (
	"context"
	"encoding/binary"
	"iter"
	"math"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Series keeps what sensors measure, for a year.
type Series struct{ readings *lightning.Keyspace }

func OpenSeries(ctx context.Context, db *lightning.DB) (Series, error) {
	readings, err := db.Keyspace(ctx, "readings", &lightning.KeyspaceOptions{TTL: 365 * 24 * time.Hour})
	return Series{readings}, err
}

// Reading is what a sensor has measured.
type Reading struct {
	At    time.Time
	Value float64
}

// Add writes readings of a sensor, all or none.
func (s Series) Add(sensor string, readings ...Reading) error {
	b := s.readings.NewBatch()
	for _, r := range readings {
		key, err := keyenc.Append(nil, sensor, r.At)
		if err != nil {
			return err
		}
		value := binary.LittleEndian.AppendUint64(nil, math.Float64bits(r.Value))
		if err := b.Put(key, value); err != nil {
			return err
		}
	}
	return b.Commit()
}

// Between calls see with the readings of a sensor from a time up to another one, the newest first.
func (s Series) Between(sensor string, from, to time.Time, see func(Reading) error) error {
	lower, err := keyenc.Append(nil, sensor, from)
	if err != nil {
		return err
	}
	upper, err := keyenc.Append(nil, sensor, to)
	if err != nil {
		return err
	}
	o := lightning.ScanOptions{Reverse: true, IterOptions: lightning.IterOptions{Lower: lower, Upper: upper}}
	return s.readings.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for key, value := range rows {
			d := keyenc.NewDecoder(key)
			if _, err := d.String(); err != nil {
				return err
			}
			at, err := d.Time()
			if err != nil {
				return err
			}
			if err := see(Reading{at, math.Float64frombits(binary.LittleEndian.Uint64(value))}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget removes the readings of a sensor before a time, at once and however many there are.
func (s Series) Forget(sensor string, before time.Time) error {
	first, _, err := keyenc.Range(sensor)
	if err != nil {
		return err
	}
	end, err := keyenc.Append(nil, sensor, before)
	if err != nil {
		return err
	}
	return s.readings.DeleteRange(first, end)
}
