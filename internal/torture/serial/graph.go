package serial

import (
	"fmt"
	"slices"
	"strings"
)

// kind is why one transaction must come before another.
type kind uint8

const (
	ww kind = iota // the other one wrote behind it
	wr             // the other one read what it wrote
	rw             // the other one wrote behind what it read
	rt             // it had ended before the other one began
)

func (k kind) String() string { return [...]string{"ww", "wr", "rw", "rt"}[k] }

type edge struct {
	to   int
	kind kind
}

// graph is the transactions that count and what must come before what.
type graph struct {
	nodes []*transaction
	out   [][]edge
}

// judge says why no order explains a history whose lists ended as final.
func judge(history []*transaction, final [][]uint64) error {
	for i, t := range history {
		t.id = i
	}
	owner, err := owners(history, final)
	if err != nil {
		return err
	}
	g := &graph{}
	node := map[*transaction]int{}
	for _, t := range history {
		if t.outcome == committed {
			node[t] = len(g.nodes)
			g.nodes = append(g.nodes, t)
		}
	}
	g.out = make([][]edge, len(g.nodes))
	for _, list := range final {
		for i := 1; i < len(list); i++ {
			g.add(node[owner[list[i-1]]], node[owner[list[i]]], ww)
		}
	}
	for n, t := range g.nodes {
		if err := g.addReads(n, t, final, owner, node); err != nil {
			return err
		}
	}
	g.addRealTime()
	return g.circle()
}

// owners returns who wrote each number, and settles the unknown outcomes: one
// of whose numbers is there, all are.
func owners(history []*transaction, final [][]uint64) (map[uint64]*transaction, error) {
	owner := map[uint64]*transaction{}
	for _, t := range history {
		for _, o := range t.ops {
			if o.number != 0 {
				owner[o.number] = t
			}
		}
	}
	there := map[uint64]bool{}
	for key, list := range final {
		for _, n := range list {
			if there[n] || owner[n] == nil {
				return nil, fmt.Errorf("k%02d ends as %v: %d is there twice, or nobody wrote it", key, list, n)
			}
			there[n] = true
			switch t := owner[n]; t.outcome {
			case refused:
				return nil, fmt.Errorf("aborted write: k%02d ends as %v with %d of %v", key, list, n, t)
			case unknown:
				t.outcome = committed
			}
		}
	}
	for _, t := range history {
		for _, o := range t.ops {
			if o.number != 0 && t.outcome == committed && !there[o.number] {
				return nil, fmt.Errorf("lost write: k%02d ends as %v without %d of %v", o.key, final[o.key], o.number, t)
			}
		}
	}
	return owner, nil
}

func (g *graph) add(from, to int, k kind) {
	if from != to {
		g.out[from] = append(g.out[from], edge{to, k})
	}
}

// addReads adds the edges of what a transaction has read.
func (g *graph) addReads(
	n int, t *transaction, final [][]uint64, owner map[uint64]*transaction, node map[*transaction]int,
) error {
	own := map[int][]uint64{} // its appends so far, by key
	for _, o := range t.ops {
		seen, list := o.seen, final[o.key]
		mine := own[o.key]
		if len(seen) < len(mine) || !slices.Equal(seen[len(seen)-len(mine):], mine) {
			return fmt.Errorf("k%02d was %v after the transaction appended %v: %v", o.key, seen, mine, t)
		}
		seen = seen[:len(seen)-len(mine)]
		if len(seen) > len(list) || !slices.Equal(seen, list[:len(seen)]) {
			return fmt.Errorf("k%02d was read as %v and ends as %v: %v", o.key, seen, list, t)
		}
		if len(seen) > 0 {
			writer := owner[seen[len(seen)-1]]
			if len(seen) < len(list) && owner[list[len(seen)]] == writer && writer != t {
				return fmt.Errorf("intermediate read: k%02d was read as %v in the middle of %v by %v", o.key, seen, writer, t)
			}
			g.add(node[writer], n, wr)
		}
		if len(seen) < len(list) {
			g.add(n, node[owner[list[len(seen)]]], rw)
		}
		if o.number != 0 {
			own[o.key] = append(mine, o.number)
		}
	}
	return nil
}

// addRealTime adds, for each transaction, an edge from the last one of each
// client that had ended before it began; those of one client follow one another
// anyway, so this says it all.
func (g *graph) addRealTime() {
	byClient := map[int][]int{}
	for n, t := range g.nodes {
		byClient[t.client] = append(byClient[t.client], n)
	}
	for _, list := range byClient {
		slices.SortFunc(list, func(a, b int) int { return int(g.nodes[a].end - g.nodes[b].end) })
	}
	for n, t := range g.nodes {
		for _, list := range byClient {
			i, _ := slices.BinarySearchFunc(list, t.begin, func(m int, begin int64) int {
				return int(g.nodes[m].end - begin)
			})
			if i > 0 {
				g.add(list[i-1], n, rt)
			}
		}
	}
}

// circle returns an error that shows a shortest circle, if there is one.
func (g *graph) circle() error {
	inCircle := g.components()
	var best []edge
	start := -1
	for n := range g.nodes {
		if inCircle[n] == 0 {
			continue
		}
		if path := g.wayBack(n, inCircle); path != nil && (best == nil || len(path) < len(best)) {
			best, start = path, n
		}
	}
	if best == nil {
		return nil
	}
	var b strings.Builder
	var kinds [4]int
	fmt.Fprintf(&b, "%v", g.nodes[start])
	for _, e := range best {
		kinds[e.kind]++
		fmt.Fprintf(&b, "\n  %v %v", e.kind, g.nodes[e.to])
	}
	return fmt.Errorf("%s, no order explains it:\n%s", classify(kinds), b.String())
}

// classify names the anomaly of a circle after Adya (1999).
func classify(kinds [4]int) string {
	name := "G2 (write or phantom skew)"
	switch {
	case kinds[rw] == 1:
		name = "G-single (read skew or lost update)"
	case kinds[rw] == 0 && kinds[wr] > 0:
		name = "G1c (circular information flow)"
	case kinds[rw] == 0:
		name = "G0 (dirty write)"
	}
	if kinds[rt] > 0 {
		name += ", against real time"
	}
	return name
}

// components finds the strongly connected components (Tarjan, 1972) and
// returns for each node the number of its own; 0 for one that is alone.
func (g *graph) components() []int {
	n := len(g.nodes)
	index, low, component := make([]int, n), make([]int, n), make([]int, n)
	onStack := make([]bool, n)
	var stack []int
	next, found := 0, 0
	type frame struct{ node, edge int }
	for root := range n {
		if index[root] != 0 {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			v := f.node
			if f.edge == 0 {
				next++
				index[v], low[v] = next, next
				stack, onStack[v] = append(stack, v), true
			}
			if f.edge < len(g.out[v]) {
				w := g.out[v][f.edge].to
				f.edge++
				if index[w] == 0 {
					frames = append(frames, frame{w, 0})
				} else if onStack[w] {
					low[v] = min(low[v], index[w])
				}
				continue
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				parent := frames[len(frames)-1].node
				low[parent] = min(low[parent], low[v])
			}
			if low[v] == index[v] {
				at := slices.Index(stack, v)
				if len(stack)-at > 1 {
					found++
				}
				for _, w := range stack[at:] {
					onStack[w] = false
					if len(stack)-at > 1 {
						component[w] = found
					}
				}
				stack = stack[:at]
			}
		}
	}
	return component
}

// wayBack returns a shortest way from a node to itself inside its component.
func (g *graph) wayBack(start int, component []int) []edge {
	type arrival struct {
		from int
		by   edge
	}
	came := map[int]arrival{}
	queue := []int{start}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for _, e := range g.out[v] {
			if component[e.to] != component[start] {
				continue
			}
			if _, seen := came[e.to]; seen {
				continue
			}
			came[e.to] = arrival{v, e}
			if e.to == start {
				var path []edge
				for at := start; len(path) == 0 || at != start; at = came[at].from {
					path = append(path, came[at].by)
				}
				slices.Reverse(path)
				return path
			}
			queue = append(queue, e.to)
		}
	}
	return nil
}
