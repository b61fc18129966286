package model

// table is a set of fingerprints, each with its parent's: 16 bytes for a state at most two thirds full. 0 is no fingerprint.
type table struct {
	keys, parents []uint64
	size          int
}

func newTable() *table { return &table{keys: make([]uint64, 1<<12), parents: make([]uint64, 1<<12)} }

// slot returns where a fingerprint is, or where it would go.
func (t *table) slot(key uint64) int {
	mask := len(t.keys) - 1
	i := int(key>>8) & mask
	for t.keys[i] != 0 && t.keys[i] != key {
		i = (i + 1) & mask
	}
	return i
}

// add reports whether the fingerprint is new.
func (t *table) add(key, parent uint64) bool {
	i := t.slot(key)
	if t.keys[i] == key {
		return false
	}
	t.keys[i], t.parents[i] = key, parent
	t.size++
	if t.size*3 > len(t.keys)*2 {
		t.grow()
	}
	return true
}

func (t *table) parent(key uint64) uint64 { return t.parents[t.slot(key)] }

func (t *table) grow() {
	old := *t
	t.keys, t.parents = make([]uint64, 2*len(old.keys)), make([]uint64, 2*len(old.keys))
	for i, key := range old.keys {
		if key != 0 {
			at := t.slot(key)
			t.keys[at], t.parents[at] = key, old.parents[i]
		}
	}
}
