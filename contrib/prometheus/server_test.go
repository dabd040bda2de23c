package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Prometheus server, where one is installed, scrapes a database, loads the rules, and answers with
// what the database has counted.
func TestServerScrapes(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed")
	}
	db := open(t)
	must(t, db.Put([]byte("key"), []byte("value")))
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(db, "orders"))
	scraped := make(chan struct{}, 100)
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		metrics.ServeHTTP(w, r)
		scraped <- struct{}{}
	}))
	defer target.Close()
	address := startServer(t, program, target.Listener.Addr().String())
	for range 3 { // what the first one brought is stored by then
		select {
		case <-scraped:
		case <-time.After(time.Minute):
			t.Fatal("the server does not scrape")
		}
	}
	for query, want := range map[string]string{
		`lightning_commits_total{database="orders"}`:                "1",
		`lightning_writable`:                                        "1",
		`count({__name__=~"lightning_.+"}) > bool 40`:               "1",
		`count(ALERTS{alertstate="firing"}) or vector(0)`:           "0",
		`sum(lightning_commit_duration_seconds_count) or vector(0)`: "1",
	} {
		if got := ask(t, address, query); got != want {
			t.Errorf("%s is %q, want %q", query, got, want)
		}
	}
}

// startServer starts a server that scrapes a target, and returns its address. It ends with the test.
func startServer(t *testing.T, program, target string) string {
	t.Helper()
	rules, err := filepath.Abs("alerts.yaml")
	must(t, err)
	config := filepath.Join(t.TempDir(), "prometheus.yaml")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: test
    static_configs: [{targets: [%q]}]
`, rules, target), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	ctx, cancel := context.WithCancel(t.Context())
	var said strings.Builder
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return address
}

// ask returns the value of a query that has one.
func ask(t *testing.T, address, query string) string {
	t.Helper()
	response, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	must(t, json.Unmarshal(body, &answer))
	if len(answer.Data.Result) != 1 {
		return string(body)
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}
