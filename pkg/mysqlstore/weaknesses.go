package mysqlstore

import "context"

// Weaknesses returns one sentence for each setting of the server by which a committed row could be lost.
func (s *Store) Weaknesses(ctx context.Context) ([]string, error) {
	var settings struct{ FlushLog, SyncBinlog, LogBin int64 }
	_, err := s.read(ctx, "read server settings", &settings, `SELECT @@GLOBAL.innodb_flush_log_at_trx_commit AS flush_log,
		@@GLOBAL.sync_binlog AS sync_binlog, @@GLOBAL.log_bin AS log_bin`)
	if err != nil {
		return nil, err
	}
	var weak []string
	if settings.FlushLog != 1 {
		weak = append(weak, "MySQL: innodb_flush_log_at_trx_commit is not 1: a crash loses committed rows")
	}
	if settings.LogBin == 1 && settings.SyncBinlog != 1 {
		weak = append(weak, "MySQL: sync_binlog is not 1: a crash loses committed rows on the replicas")
	}
	return weak, nil
}
