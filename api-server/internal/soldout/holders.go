package soldout

import (
	"hash/maphash"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// holders is who holds a claim, each as a hash of 64 bits: 8 bytes a holder. Two people of one hash are taken for one, who is
// not refused from memory. It is never changed.
type holders struct {
	seed   maphash.Seed // of this process: nobody outside can choose ids of one hash
	hashes []uint64     // sorted, each once
}

func (h *holders) has(key coupon.Key) bool {
	_, found := slices.BinarySearch(h.hashes, hash(h.seed, key))
	return found
}

// hash is of what the claim script looks for: the user and n.
func hash(seed maphash.Seed, key coupon.Key) uint64 {
	h := maphash.String(seed, key.User)
	if key.N == 1 { // as nearly all are
		return h
	}
	return maphash.Comparable(seed, [2]uint64{h, uint64(key.N)})
}

// gathering collects the hashes of a known number of holders, some of whom come more than once.
type gathering struct {
	seed   maphash.Seed
	hashes []uint64
}

// slack is how many may come again, at most, before those that came before are looked for among them.
const slack = 4096

// space is how many hashes there must be room for to remember so many holders.
func space(total int64) int64 { return total + min(total, slack) }

func gather(seed maphash.Seed, total int64) *gathering {
	return &gathering{seed: seed, hashes: make([]uint64, 0, space(total))}
}

// add takes a page in, and reports whether there was room for it.
func (g *gathering) add(page []coupon.Key) bool {
	if len(g.hashes)+len(page) > cap(g.hashes) {
		g.compact()
	}
	if len(g.hashes)+len(page) > cap(g.hashes) {
		return false
	}
	for _, key := range page {
		g.hashes = append(g.hashes, hash(g.seed, key))
	}
	return true
}

func (g *gathering) compact() {
	slices.Sort(g.hashes)
	g.hashes = slices.Compact(g.hashes)
}

// holders returns them if there are as many as there should be: then they are all.
func (g *gathering) holders(total int64) (*holders, bool) {
	g.compact()
	return &holders{seed: g.seed, hashes: g.hashes}, int64(len(g.hashes)) == total
}
