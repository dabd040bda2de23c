package prometheus

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lightningdb/lightning"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *lightning.DB {
	t.Helper()
	db, err := lightning.Open(t.TempDir(), &lightning.Options{MemoryBudget: 16 << 20})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// What is scraped is what was done, and what promtool would say of names and units is nothing.
func TestCollector(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	first, second := open(t), open(t)
	registry.MustRegister(NewCollector(first, "orders"), NewCollector(second, "users"))
	for range 3 {
		must(t, first.Put([]byte("k"), []byte("v")))
	}
	_, err := first.Get([]byte("k"))
	must(t, err)
	_, _ = first.Get([]byte("absent"))
	must(t, second.Put([]byte("k"), []byte("v")))

	const want = `
# HELP lightning_commits_total Commits that were written to the log.
# TYPE lightning_commits_total counter
lightning_commits_total{database="orders"} 3
lightning_commits_total{database="users"} 1
# HELP lightning_gets_total Gets of one key, by whether they found a value.
# TYPE lightning_gets_total counter
lightning_gets_total{database="orders",result="found"} 1
lightning_gets_total{database="orders",result="missed"} 1
lightning_gets_total{database="users",result="found"} 0
lightning_gets_total{database="users",result="missed"} 0
# HELP lightning_writable Whether writes are accepted.
# TYPE lightning_writable gauge
lightning_writable{database="orders"} 1
lightning_writable{database="users"} 1
`
	must(t, testutil.GatherAndCompare(registry, strings.NewReader(want),
		"lightning_commits_total", "lightning_gets_total", "lightning_writable"))
	problems, err := testutil.GatherAndLint(registry)
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	must(t, err)
	synced := 0
	for _, f := range families {
		if f.GetName() != "lightning_commit_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			last := uint64(0)
			for _, b := range h.GetBucket() {
				if b.GetCumulativeCount() < last {
					t.Errorf("bucket %v of %v has %d, the one before %d", b.GetUpperBound(), m.GetLabel(), b.GetCumulativeCount(), last)
				}
				last = b.GetCumulativeCount()
			}
			if last != h.GetSampleCount() {
				t.Errorf("%v has %d in buckets, %d in all", m.GetLabel(), last, h.GetSampleCount())
			}
			synced += int(h.GetSampleCount())
			if n := h.GetSampleCount(); n > 0 && (h.GetSampleSum() <= 0 || h.GetSampleSum() > 60*float64(n)) {
				t.Errorf("%d commits took %v s", n, h.GetSampleSum())
			}
		}
	}
	if synced != 4 {
		t.Errorf("%d synced commits were timed, want 4", synced)
	}
	must(t, second.Close())
	must(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP lightning_commits_total Commits that were written to the log.
# TYPE lightning_commits_total counter
lightning_commits_total{database="orders"} 3
`), "lightning_commits_total"))
}

// What a server of metrics gives is text that Prometheus reads.
func TestScrape(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(open(t), "orders"))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	for _, line := range []string{
		`lightning_level_files{database="orders",level="0"} 0`, `lightning_memory_budget_bytes{database="orders"} 1.6777216e+07`,
		`lightning_get_duration_seconds_bucket{database="orders",le="+Inf"} 0`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
}
