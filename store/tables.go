package store

import (
	"encoding/binary"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// The index's tables (docs/formats/state-rows.md). Those up to lastLogical are
// state: a function of the history, in the running hash. The others are this
// node's own.
const (
	tMeta          index.Table = 1  // name -> single rows: ceremony, policy, clock, checkpoint, state, authority/N
	tBundle        index.Table = 2  // BundleKey -> BundleRow
	tExpiry        index.Table = 3  // end || STORE sequence -> BundleKey
	tWaiting       index.Table = 4  // STORE sequence -> open round || BundleKey
	tErasure       index.Table = 5  // sequence of the record that ended a bundle -> BundleKey
	tMember        index.Table = 6  // number -> MemberRow
	tPerson        index.Table = 7  // id -> Person
	tIdentity      index.Table = 8  // identity -> id
	tInstitution   index.Table = 9  // number -> InstitutionRow
	tDefinition    index.Table = 10 // institution || bundle ID -> Definition
	tEpoch         index.Table = 11 // institution || epoch -> EpochRow
	tBlock         index.Table = 12 // block id -> BlockRow
	tSubject       index.Table = 13 // institution || subject || STORE sequence -> BundleKey
	tUse           index.Table = 14 // institution || subject || USE sequence -> nothing
	tOwnHistory    index.Table = 15 // institution || own sequence -> sequence
	tTransaction   index.Table = 16 // institution || transaction || sequence -> nothing
	tRetire        index.Table = 17 // block id -> sequence of the KEY record
	tDeadSlot      index.Table = 18 // slot -> BundleKey of the bundle that expired, or sequence of the KEY record (spent)
	tCarried       index.Table = 19 // sequence below the bound -> CarriedRow
	tCarriedKey    index.Table = 20 // sequence of a carried record -> epoch || its detail's key, sealed
	tEnded         index.Table = 21 // STORE sequence of a bundle that has ended -> BundleEnd
	tSealedBy      index.Table = 22 // institution || epoch || sequence of a carried record whose detail that epoch's key opens -> nothing
	tPassed        index.Table = 23 // institution -> newest epoch whose KEY record lies below the bound
	tEpochEnd      index.Table = 24 // sequence of the KEY record -> EpochEndRow
	tCheckpoint    index.Table = 25 // tree size -> sequence of its CHECKPOINT record
	tAct           index.Table = 26 // nonce -> ActRow
	tActOpen       index.Table = 27 // nonce of an act that is not ended -> OpenActRow
	tStop          index.Table = 28 // BundleKey -> StopRow
	tExit          index.Table = 29 // BundleKey -> ExitRow
	tHold          index.Table = 30 // institution || sequence of HOLD_PLACE -> HeldRow
	tScopeHold     index.Table = 31 // institution || scope || what || id -> sequence of HOLD_PLACE
	tHeldBy        index.Table = 32 // institution || sequence of HOLD_PLACE || STORE sequence -> BundleKey
	tTenant        index.Table = 33 // institution -> its state, quota, dates
	tPolicyChange  index.Table = 34 // number of the change -> sequence of its POLICY record
	tMedium        index.Table = 35 // node || incarnation -> sequence of the act that records its medium's destruction
	tBackup        index.Table = 36 // sequence of the BACKUP record of a run's end -> BackupRow
	tHoldEnd       index.Table = 37 // institution || sequence of HOLD_PLACE of a hold on a subject or definition -> clock at its end
	tKept          index.Table = 38 // institution || STORE sequence -> BundleKey of a bundle that its closing keeps as yet
	tAttested      index.Table = 39 // node || end of a range of such sequences -> AttestedRow
	tIncarnation   index.Table = 40 // node || incarnation -> IncarnationRow
	tAnnounced     index.Table = 41 // block id -> sequence of the KEY record that announced it
	tSpecialStep   index.Table = 42 // sequence of a record of a circulation stop or special deletion -> nothing
	tSpent         index.Table = 43 // sequence of the KEY record -> SpentRow
	tArchive       index.Table = 44 // period -> ArchiveRow
	lastLogical                = tArchive
	tRange         index.Table = 50 // slot || chunk || file || offset -> length || digest
	metaCeremony               = "ceremony"
	metaPolicy                 = "policy"
	metaClock                  = "clock"
	metaCheckpoint             = "checkpoint"
	metaState                  = "state"
	metaPruned                 = "pruned"
	metaBackup                 = "backup"    // BackupRow of the newest backup
	metaRestored               = "restored"  // sequence of the RESTORE record that declared a loss, until its end
	metaUnsettled              = "unsettled" // decision from which on, and before which, erasures are looked at again since a node left
	metaAuthority              = "authority/"
	metaReleased               = "released/" // then the key of tHold
)

func allTables() []index.Table {
	t := make([]index.Table, 0, lastLogical+1)
	for i := tMeta; i <= lastLogical; i++ {
		t = append(t, i)
	}
	return append(t, tRange)
}

// Tables lists the tables of an index file, for whoever opens one by itself.
func Tables() []index.Table { return allTables() }

func key32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func key64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func cat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func expiryKey(end int64, store uint64) []byte { return cat(key64(uint64(end)), key64(store)) }

func definitionKey(institution uint32, bundleID string) []byte {
	return cat(key32(institution), []byte(bundleID))
}

func epochKey(institution, epoch uint32) []byte { return cat(key32(institution), key32(epoch)) }

func subjectKey(institution uint32, subject format.Digest) []byte {
	return cat(key32(institution), subject[:])
}

func transactionKey(institution uint32, transaction string) []byte {
	var w format.Writer
	w.U32(institution)
	w.Str(transaction)
	return w.Bytes()
}

func slotKey(s format.Slot) []byte {
	var w format.Writer
	w.Slot(s)
	return w.Bytes()
}

// after is the first key behind every key that starts with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
