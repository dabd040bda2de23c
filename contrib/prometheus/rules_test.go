package prometheus

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// collected returns the names of all figures that a database can give, with those of the parts of
// histograms.
func collected(t *testing.T) map[string]bool {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(open(t), "orders"))
	families, err := registry.Gather()
	must(t, err)
	names := map[string]bool{"lightning_scrub_end_timestamp_seconds": true} // once there was a scrub
	for _, f := range families {
		names[f.GetName()] = true
		if strings.Contains(f.GetType().String(), "HISTOGRAM") {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				names[f.GetName()+part] = true
			}
		}
	}
	return names
}

var figure = regexp.MustCompile(`\blightning_[a-z0-9_]+`)

// Rules, their tests, the dashboard and the manual speak of figures that there are.
func TestNamesAreThere(t *testing.T) {
	names := collected(t)
	for _, file := range []string{"alerts.yaml", "alerts_test.yaml", "dashboard.json", "../../docs/operations.md"} {
		text, err := os.ReadFile(file)
		must(t, err)
		found := figure.FindAllString(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s names no figure", file)
		}
		for _, name := range found {
			if !names[name] {
				t.Errorf("%s names %s, which nobody collects", file, name)
			}
		}
	}
}

// Each alert has a section in the manual, and refers to it.
func TestAlertsAreExplained(t *testing.T) {
	rules, err := os.ReadFile("alerts.yaml")
	must(t, err)
	manual, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 10 {
		t.Errorf("%d alerts are too few", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(string(manual), "\n### "+a[1]+"\n") {
			t.Errorf("%s is not explained", a[1])
		}
		if !strings.Contains(string(rules), "docs/operations.md#"+strings.ToLower(a[1])+"\n") {
			t.Errorf("%s does not refer to its explanation", a[1])
		}
	}
	for _, section := range regexp.MustCompile(`\n### (Lightning\w+)`).FindAllStringSubmatch(string(manual), -1) {
		if !strings.Contains(string(rules), "alert: "+section[1]+"\n") {
			t.Errorf("%s is explained and is no alert", section[1])
		}
	}
}

// The rules raise what they should, and nothing else, by Prometheus' own tool.
func TestAlerts(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// The dashboard is one, whose panels do not lie over each other.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	must(t, err)
	var board struct {
		Panels []struct {
			Title, Type string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(text, &board))
	taken := map[[2]int]string{}
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
