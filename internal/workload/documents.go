package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/lightningdb/lightning/internal/clock"
)

// Documents are values that compress as the records of applications do: objects of JSON, whose
// fields follow from the number of the record. They are of a row of their own, because how well
// and how fast a codec does is not what the other rows are to measure.

var (
	documentNames  = [...]string{"Anna", "Bert", "Clara", "David", "Emil", "Frida", "Georg", "Hanna", "Ingrid", "Johan", "Karin", "Lars", "Maria", "Nils", "Olga", "Peter"}
	documentCities = [...]string{"Oslo", "Stockholm", "Berlin", "Paris", "London", "Madrid", "Roma", "Wien", "Praha", "Helsinki", "Tallinn", "Riga", "Vilnius", "Dublin", "Lisboa", "Bern"}
	documentWords  = [...]string{"the", "order", "was", "shipped", "to", "an", "address", "which", "customer", "had", "given", "before", "payment", "failed", "and", "again"}
)

// AppendDocument appends the document of a record, 80 to 320 bytes.
func AppendDocument(dst []byte, n int64) []byte {
	bits := mix(uint64(n) + keySalt)
	take := func(below uint64) uint64 { // from few to many values
		x := bits % below
		bits = mix(bits + valueStep)
		return x
	}
	name := documentNames[take(16)]
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, n, 10)
	dst = append(append(append(dst, `,"name":"`...), name...), `","mail":"`...)
	dst = append(append(dst, name...), '.')
	dst = strconv.AppendUint(dst, take(10_000), 10)
	dst = append(append(dst, `@example.com","city":"`...), documentCities[take(16)]...)
	dst = append(dst, `","born":`...)
	dst = strconv.AppendUint(dst, 1940+take(70), 10)
	dst = append(dst, `,"balance":`...)
	dst = strconv.AppendUint(dst, take(1_000_000), 10)
	if words := take(16); words > 2 {
		dst = append(dst, `,"notes":"`...)
		for range words {
			dst = append(append(dst, documentWords[take(16)]...), ' ')
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// Documents measures putting all records with documents for values, in batches, and settling. All
// are read and checked behind it.
func (r *Runner) Documents(ctx context.Context) (Outcome, error) {
	o := Outcome{Unit: "puts", Goroutines: 1, Of: commitOf(BatchRecords), Latency: NewHistogram()}
	s, err := r.Store.Session()
	if err != nil {
		return o, err
	}
	err = r.measured(&o, func() error {
		start := clock.System.Now()
		if err := r.putDocuments(ctx, s, &o); err != nil {
			return err
		}
		o.Elapsed = clock.System.Now().Sub(start)
		return r.settleWithin(ctx, &o)
	})
	if err == nil {
		err = r.checkDocuments(s)
	}
	o.LiveBytes = o.InputBytes
	return o, errors.Join(err, s.Close())
}

func (r *Runner) putDocuments(ctx context.Context, s Session, o *Outcome) error {
	records := newRecords(BatchRecords, 0)
	for n := int64(0); n < r.Config.Records; {
		if err := ctx.Err(); err != nil {
			return err
		}
		records = records[:min(BatchRecords, r.Config.Records-n)]
		for i := range records {
			Ascending.MakeKey((*[KeyBytes]byte)(records[i].Key), n)
			records[i].Value = AppendDocument(records[i].Value[:0], n)
			o.InputBytes += int64(KeyBytes + len(records[i].Value))
			n++
		}
		start := clock.System.Now()
		if err := s.PutBatch(records); err != nil {
			return err
		}
		o.Latency.Record(clock.System.Now().Sub(start))
		o.Operations = n
		r.report(fmt.Sprintf("%d%% loaded", 100*n/r.Config.Records))
	}
	return nil
}

// checkDocuments reads all records.
func (r *Runner) checkDocuments(s Session) error {
	n, want := int64(0), []byte(nil)
	var key [KeyBytes]byte
	err := s.Scan(nil, int(r.Config.Records)+1, func(gotKey, value []byte) error {
		Ascending.MakeKey(&key, n)
		if want = AppendDocument(want[:0], n); !bytes.Equal(gotKey, key[:]) || !bytes.Equal(value, want) {
			return wrong("record %d is %x with %.64q", n, gotKey, value)
		}
		n++
		return nil
	})
	if err == nil && n != r.Config.Records {
		err = wrong("%d records, not %d", n, r.Config.Records)
	}
	return err
}
