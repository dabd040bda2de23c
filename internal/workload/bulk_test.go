package workload

import (
	"errors"
	"testing"
)

// lossy is a store whose bulk loads leave a record out.
type lossy struct{ Store }

func (l lossy) BulkLoad(Bulk) (Load, error) {
	s, err := l.Session()
	return &lossyLoad{commits{s}, false}, err
}

type lossyLoad struct {
	commits
	lost bool
}

func (l *lossyLoad) Add(records []Record) error {
	if !l.lost {
		l.lost = true
		records = records[:len(records)-1]
	}
	return l.commits.Add(records)
}

func TestBulkLoad(t *testing.T) {
	for _, how := range []Bulk{BulkSorted, BulkUnsorted} {
		r := onLightning(t, small())
		r.Order = Order(how == BulkSorted)
		o, err := BulkLoadBy(how)(r, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if o.Operations != r.Config.Records || o.Elapsed <= 0 || o.LiveBytes != o.InputBytes ||
			o.Latency.Count() == 0 || len(o.Notes) != 1 || o.Settling != 0 {
			t.Errorf("%+v", o)
		}
		if _, err := r.GetUniform(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestBulkLoadMissesNoLoss(t *testing.T) {
	r := onLightning(t, small())
	r.Store = lossy{r.Store}
	_, err := BulkLoadBy(BulkSorted)(r, t.Context())
	var wrong WrongAnswer
	if !errors.As(err, &wrong) {
		t.Errorf("a lost record is no wrong answer: %v", err)
	}
}
