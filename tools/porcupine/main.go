// Command porcupine judges histories in Quorate's notation (JSON lines) with Porcupine, for `quorate bench check
// --porcupine`: one line of output for each file, with the verdict and the seconds of processor time that the check took.
//
//	go mod init judge && go get github.com/anishathalye/porcupine && go build -o judge . && ./judge kv 10 a.jsonl b.jsonl
//
// Values are numbered first, so that its states are small integers: as fast as a model for Porcupine can be written.
// An operation that never answered returns at the end of time with any answer; one that failed did not happen.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

type event struct {
	Process json.RawMessage `json:"process"`
	Type    string          `json:"type"`
	F       string          `json:"f"`
	Key     json.RawMessage `json:"key"`
	Value   json.RawMessage `json:"value"`
}

type input struct {
	f    string
	key  int
	a, b int // argument, or the two halves of a cas
}

type output struct {
	unknown bool
	ok      bool // of a cas or contains: not false
	value   int
	list    []int // of a read of a set, sorted
}

// numbers gives each JSON value a small number; null is 0.
type numbers map[string]int

func (n numbers) of(raw json.RawMessage) int {
	if len(raw) == 0 || string(raw) == "null" {
		return 0
	}
	known, found := n[string(raw)]
	if !found {
		known = len(n) + 1
		n[string(raw)] = known
	}
	return known
}

func (n numbers) list(raw json.RawMessage) []int {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return nil
	}
	found := make([]int, len(items))
	for i, item := range items {
		found[i] = n.of(item)
	}
	return found
}

func read(path string) ([]porcupine.Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(make([]byte, 1<<20), 1<<30)
	n := numbers{}
	open := map[string]int{}
	var operations []porcupine.Operation
	var dropped []bool
	for place := int64(0); scanner.Scan(); place++ {
		var e event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			return nil, err
		}
		process := string(e.Process)
		if _, err := strconv.Atoi(process); err != nil {
			continue
		}
		if e.Type == "invoke" {
			in := input{f: e.F, key: n.of(e.Key)}
			if e.F == "cas" {
				if pair := n.list(e.Value); len(pair) == 2 {
					in.a, in.b = pair[0], pair[1]
				}
			} else {
				in.a = n.of(e.Value)
			}
			open[process] = len(operations)
			operations = append(operations, porcupine.Operation{
				Input: in, Call: place, Output: output{unknown: true}, Return: math.MaxInt64,
			})
			dropped = append(dropped, e.F == "read" || e.F == "get" || e.F == "contains")
			continue
		}
		number := open[process]
		delete(open, process)
		if e.Type == "ok" {
			out := output{ok: string(e.Value) != "false", value: n.of(e.Value)}
			if out.list = n.list(e.Value); out.list != nil {
				sort.Ints(out.list)
			}
			operations[number].Output, operations[number].Return = out, place
		}
		// A read of unknown answer says nothing; what failed did not happen.
		dropped[number] = e.Type == "fail" || (e.Type == "info" && dropped[number])
	}
	kept := operations[:0]
	for i, operation := range operations {
		if !dropped[i] {
			kept = append(kept, operation)
		}
	}
	return kept, scanner.Err()
}

func byKey(history []porcupine.Operation) [][]porcupine.Operation {
	groups := map[int][]porcupine.Operation{}
	for _, operation := range history {
		key := operation.Input.(input).key
		groups[key] = append(groups[key], operation)
	}
	var parts [][]porcupine.Operation
	for _, group := range groups {
		parts = append(parts, group)
	}
	return parts
}

func stepRegister(state, in, out interface{}) (bool, interface{}) {
	value, i, o := state.(int), in.(input), out.(output)
	switch i.f {
	case "read", "get":
		return o.unknown || o.value == value, state
	case "write", "put":
		return true, i.a
	default: // cas
		if value == i.a {
			return o.unknown || o.ok, i.b
		}
		return o.unknown || !o.ok, state
	}
}

func equalLists(a, b interface{}) bool {
	x, y := a.([]int), b.([]int)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

func stepSet(state, in, out interface{}) (bool, interface{}) {
	set, i, o := state.([]int), in.(input), out.(output)
	place := sort.SearchInts(set, i.a)
	isIn := place < len(set) && set[place] == i.a
	switch i.f {
	case "read":
		return o.unknown || equalLists(set, o.list), state
	case "contains":
		return o.unknown || o.ok == isIn, state
	case "add":
		if isIn {
			return true, state
		}
		grown := make([]int, len(set)+1)
		copy(grown, set[:place])
		grown[place] = i.a
		copy(grown[place+1:], set[place:])
		return true, grown
	default: // remove
		if !isIn {
			return true, state
		}
		rest := make([]int, 0, len(set)-1)
		return true, append(append(rest, set[:place]...), set[place+1:]...)
	}
}

func stepQueue(state, in, out interface{}) (bool, interface{}) {
	queue, i, o := state.([]int), in.(input), out.(output)
	if i.f == "enqueue" {
		return true, append(queue[:len(queue):len(queue)], i.a)
	}
	if o.unknown {
		if len(queue) == 0 {
			return true, state
		}
		return true, queue[1:]
	}
	if len(queue) == 0 {
		return o.value == 0, state
	}
	return queue[0] == o.value, queue[1:]
}

func modelNamed(name string) (porcupine.Model, bool) {
	empty := func() interface{} { return []int{} }
	switch name {
	case "register", "cas-register", "kv":
		initial := func() interface{} { return 0 }
		return porcupine.Model{Partition: byKey, Init: initial, Step: stepRegister}, true
	case "set":
		return porcupine.Model{Partition: byKey, Init: empty, Step: stepSet, Equal: equalLists}, true
	case "fifo-queue":
		return porcupine.Model{Partition: byKey, Init: empty, Step: stepQueue, Equal: equalLists}, true
	}
	return porcupine.Model{}, false
}

// cpu returns the processor time that this process has used, so that a busy machine does not count.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: judge MODEL SECONDS FILE...")
		os.Exit(2)
	}
	model, found := modelNamed(os.Args[1])
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	if !found || err != nil {
		fmt.Fprintln(os.Stderr, "MODEL is register, cas-register, kv, set or fifo-queue; SECONDS is a number")
		os.Exit(2)
	}
	verdicts := map[porcupine.CheckResult]string{
		porcupine.Ok: "valid", porcupine.Illegal: "invalid", porcupine.Unknown: "unknown",
	}
	for _, path := range os.Args[3:] {
		history, err := read(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, path, err)
			os.Exit(2)
		}
		begin := cpu()
		result := porcupine.CheckOperationsTimeout(model, history, time.Duration(seconds*float64(time.Second)))
		fmt.Printf("%s %.9f\n", verdicts[result], (cpu() - begin).Seconds())
	}
}
