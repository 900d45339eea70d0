package main

// message is what a reason means and what to do about it, in both languages.
type message struct{ ko, en string }

// messages is the catalogue by REASON_CODE. A reason that is not here is shown
// with the server's sentence alone.
var messages = map[string]message{
	// Found before any call.
	"USAGE":            {"명령을 이해할 수 없습니다. `sago --help`를 보십시오", "the command is not understood; see `sago --help`"},
	"CONTEXT":          {"컨텍스트 파일을 쓸 수 없습니다. --context 또는 SAGO_CONTEXT와 그 내용을 확인하십시오", "the context file cannot be used; check --context or SAGO_CONTEXT and what it says"},
	"FILE":             {"파일을 읽거나 쓸 수 없습니다. 이름과 권한을 확인하십시오", "a file cannot be read or written; check its name and permissions"},
	"PURPOSE_REQUIRED": {"열람·이용 목적이 없으면 읽을 수 없습니다. --purpose를 적고, 기관 시스템은 이용자의 이름·소속·연락처도 적으십시오", "nothing is read without a purpose; give --purpose and, from an application, the user's name, department and contact"},
	"INVALID":          {"입력이 올바르지 않습니다. 고쳐서 다시 하십시오", "the input is not valid; correct it and try again"},
	"TOO_LARGE":        {"너무 큽니다. 나누어 저장하십시오", "it is too large; store it in parts"},

	// Refused by a rule.
	"CONFLICT":        {"같은 번호나 이름으로 이미 다른 것이 있습니다. 기록된 것은 바뀌지 않습니다. 번호나 이름을 확인하십시오", "something else has this number or name already; what is recorded never changes; check the number or name"},
	"RETENTION_RULE":  {"보유기간 규칙이 없거나 잘못되었거나 맞지 않습니다. --retain을, 이미 저장된 것이면 `sago bundle show`를 확인하십시오", "the retention rule is missing, malformed or does not allow it; check --retain, or what `sago bundle show` says"},
	"RETENTION_BASIS": {"보유기간이 그 근거와 맞지 않습니다. --basis와 --basis-kind를 확인하십시오", "the retention rule contradicts its basis; check --basis and --basis-kind"},
	"DEFINITION":      {"등록되지 않았거나 종료된 묶음정보입니다. --bundle-id를 확인하십시오", "the bundle definition is unknown or ended; check --bundle-id"},
	"ONE_TIME_USED":   {"1회성 열람이 이미 이루어졌습니다. 다시 읽을 수 없습니다", "the one-time view was used; it cannot be read again"},
	"STATE":           {"지금 상태에서는 할 수 없습니다. 상태를 먼저 확인하십시오", "not possible in the present state; look at the state first"},
	"HELD":            {"보존조치(legal hold)가 걸려 있습니다. 해제된 뒤에만 할 수 있습니다", "a legal hold keeps it; only possible after the hold is released"},
	"NEEDS_ACT":       {"여러 사람이 서명한 결재 행위로만 할 수 있습니다", "only an act signed by several persons may do this"},
	"POLICY":          {"정책이 허용하지 않습니다. 정책을 확인하십시오", "the policy does not allow it; look at the policy"},
	"CLOCK":           {"신뢰 시각이 준비되지 않았거나 투표가 거절되었습니다. `sago clock status`를 보십시오", "trusted time is not ready or its votes were refused; see `sago clock status`"},
	"SIGNATURE":       {"서명이 확인되지 않습니다. 서명자와 문서를 확인하십시오", "a signature does not verify; check the signers and the document"},
	"MEMBER":          {"알 수 없거나 오래된 노드입니다. `sago cluster status`를 보십시오", "an unknown or outdated node; see `sago cluster status`"},

	"CIRCULATION_STOPPED": {"유통정지 명령이 걸려 있어 열람·이용할 수 없습니다. `sago circulation list`를 보십시오", "an order of circulation stop stands on it: it can be neither read nor used; see `sago circulation list`"},
	"SUSPENDED":           {"기관이 휴지 중입니다. 이용 내역만 볼 수 있습니다", "the institution is suspended: only its use history can be read"},
	"CLOSED":              {"기관이 폐지되었거나 폐지 절차 중입니다", "the institution is closing or closed"},
	"LAPSED":              {"결재 행위의 유효기간이 지났습니다. 다시 요청하십시오", "the act's time has passed; propose it again"},
	"QUOTA":               {"기관의 저장 한도를 넘습니다. 한도를 확인하십시오", "the institution's quota would be exceeded; look at the quota"},
	"RESTORED":            {"손실을 선언하고 복구한 상태입니다. 잃은 보존조치와 연장을 다시 등록하고 확인 결재를 마치십시오", "restored with a declared loss: place lost holds and extensions again, then confirm by an act"},

	// Not permitted.
	"SIGNER":              {"이 결재 행위에 서명할 수 없는 사람입니다. 요청자는 승인할 수 없고, 한 사람은 한 번만 셉니다", "this person may not sign this act: who asked for it may not approve it, and one person counts once"},
	"NOT_PERMITTED":       {"이 신원으로는 허용되지 않습니다. 권한관리책임자에게 권한을 신청하십시오. 이 시도는 이력에 남습니다", "not permitted for this identity; apply to the access manager for a grant; the attempt is on record"},
	"UNKNOWN_PRINCIPAL":   {"이 인증서의 주체는 등록되어 있지 않습니다. 컨텍스트의 인증서를 확인하십시오", "nobody is enrolled under this certificate; check the certificate of the context"},
	"UNAUTHENTICATED":     {"신원이 확인되지 않았습니다. 컨텍스트의 인증서를 확인하십시오", "the identity could not be established; check the certificate of the context"},
	"CERTIFICATE_REFUSED": {"서버가 인증서를 거절했습니다. 컨텍스트의 인증서가 이 클러스터의 것인지 확인하십시오", "the server refused the certificate; check that the context's certificate is of this cluster"},

	// Not there.
	"NOT_FOUND":       {"없습니다. 번호와 소속 기관을 확인하십시오", "there is no such thing; check the number and the institution"},
	"SPECIAL_DELETED": {"특수삭제되어 읽을 수 없습니다", "it was specially deleted and can no longer be read"},
	"EXPIRED":         {"보유기간이 끝났습니다. 읽을 수도, 연장하거나 보존조치할 수도 없으며, 파기되었거나 곧 파기됩니다", "its retention has ended: it can be neither read nor kept longer, and is erased or about to be"},

	// Try again.
	"UNAVAILABLE":     {"노드에, 또는 노드 과반수에 닿을 수 없습니다. 기록할 수 없는 일은 하지 않습니다. 잠시 뒤 다시 하십시오", "no node, or no majority of them, can be reached; what cannot be recorded is not done; try again later"},
	"WITNESS":         {"증인이 서명하지 않았습니다. 체크포인트 자체는 유효합니다. 증인과 주소를 확인하고 다시 하십시오", "the witness did not cosign; the checkpoint itself holds; look at the witness and its address, and try again"},
	"NOT_READY":       {"클러스터가 준비되지 않았습니다. 잠시 뒤 다시 하십시오", "the cluster is not ready; try again later"},
	"TIMEOUT":         {"시간 안에 끝나지 않았습니다. 다시 하거나 --timeout을 늘리십시오", "it did not end in time; try again or give a longer --timeout"},
	"RATE_LIMITED":    {"요청이 너무 많습니다. 잠시 뒤 다시 하십시오", "too many requests; try again later"},
	"EXHAUSTED":       {"서버의 한도에 이르렀습니다. 잠시 뒤 다시 하십시오", "a limit of the server is reached; try again later"},
	"KEY_MISSING":     {"키가 없어 읽을 수 없습니다. 키 블록이 다른 노드에서 오거나 키 보관본을 되돌린 뒤 다시 하십시오", "the key is not here; try again once its block came from another node, or a key archive was restored"},
	"STORAGE_FULL":    {"저장 공간이 부족하여 새로 저장할 수 없습니다. 공간을 늘리십시오", "there is no room for new bundles; add storage"},
	"STALE_OPERATION": {"요청이 너무 늦게 처리되었습니다. 다시 하십시오", "the request was overtaken by too many others; try again"},
	"KEY_SLOT":        {"키 슬롯을 쓸 수 없었습니다. 다시 하십시오", "the key slot could not be used; try again"},
	"NOT_COVERED":     {"아직 체크포인트에 포함되지 않았습니다. 체크포인트는 정책이 정한 간격(보통 1분)마다 만들어집니다. 잠시 뒤 다시 하십시오", "no checkpoint covers it yet; one is taken within the policy's interval, a minute by default; try again later"},
	"NO_CHECKPOINT":   {"과반수가 서명한 체크포인트가 아직 없어 확인할 수 없습니다. 잠시 뒤 다시 하십시오", "there is no checkpoint signed by a majority yet to verify against; try again later"},

	// Integrity.
	"INTEGRITY":        {"확인되지 않는 응답입니다. 쓰지 말고 감사자에게 알리십시오", "what was answered does not verify; do not use it, and tell the auditor"},
	"ROLLBACK":         {"이력이 예전으로 되돌아갔습니다. 과반수가 서명했던 이력이 사라졌습니다. 기억된 체크포인트를 보관하고 감사자에게 알리십시오", "the history went back: records that a majority signed are gone; keep the remembered checkpoint and tell the auditor"},
	"FORK":             {"서로 다른 두 이력이 서명되었습니다. 두 체크포인트를 보관하고 감사자에게 알리십시오", "two different histories were signed; keep both checkpoints and tell the auditor"},
	"DAMAGE":           {"저장된 자료의 손상이 발견되었습니다. 감사자에게 알리십시오", "stored data is damaged; tell the auditor"},
	"UNTRUSTED_SERVER": {"이 클러스터의 서버가 아닙니다. 주소와 컨텍스트를 확인하십시오", "the server is not one of this cluster; check the address and the context"},

	// Other.
	"MEMORY":        {"기억된 체크포인트를 읽거나 쓸 수 없습니다. 파일을 확인하거나 --no-memory를 쓰십시오. 지우기 전에 왜 그런지 알아보십시오", "the remembered checkpoint cannot be read or written; look at its file, and find out why before removing it; or use --no-memory"},
	"FAILED":        {"실패했습니다", "it failed"},
	"INTERNAL":      {"서버 안에서 실패했습니다. 로그를 확인하십시오", "it failed inside the server; look at its log"},
	"CANCELED":      {"중단되었습니다", "it was interrupted"},
	"ABORTED":       {"중단되었습니다. 다시 하십시오", "it was aborted; try again"},
	"UNIMPLEMENTED": {"이 서버는 이 명령을 모릅니다. 판을 확인하십시오", "this server does not know the command; check the versions"},
}
