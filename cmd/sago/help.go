package main

import "github.com/alecthomas/kong"

// helpTexts are the sentences of --help in one language; the grammar's tags name
// them.
func helpTexts(lang language) kong.Vars {
	vars := kong.Vars{}
	for name, m := range helps {
		vars["help_"+name] = lang.pick(m.ko, m.en)
	}
	return vars
}

var helps = map[string]message{
	"sago":      {"사고(史庫) 보안저장소의 명령줄입니다.", "The command line of a Sago WORM storage appliance."},
	"context":   {"어느 클러스터를 누구로서 부를지 적은 파일.", "File that says which cluster to call, and as whom."},
	"output":    {"결과의 형식: text 또는 json.", "Form of the result: text or json."},
	"lang":      {"메시지의 언어: ko 또는 en (기본은 로캘).", "Language of messages: ko or en (default from the locale)."},
	"no_memory": {"체크포인트를 기억하지도, 기억과 대조하지도 않습니다.", "Neither remember checkpoints nor hold them against what is remembered."},
	"timeout":   {"명령 전체의 시간 한도 (기본 2m, history export와 verify --offline은 12h, witness는 한도 없음).", "Time limit of the whole command (2m; 12h for history export and verify --offline; none for witness)."},

	"bundle":        {"묶음정보를 저장하고 열람합니다.", "Store and read bundles."},
	"bundle_put":    {"문서를 하나의 묶음정보로 저장합니다.", "Store documents as one bundle."},
	"bundle_get":    {"묶음정보를 읽습니다. 목적이 기록됩니다.", "Read a bundle; the purpose goes on record."},
	"bundle_show":   {"내용 없이 상태를 보여 줍니다.", "Show what is known of a bundle without its content."},
	"bundle_list":   {"기관의 묶음정보를 나열합니다.", "List the institution's bundles."},
	"bundle_verify": {"저장된 사본을 읽어 지문을 비교합니다.", "Read the stored copy and compare its fingerprints."},

	"usage":        {"이용 내역을 기록하고 봅니다.", "Write and read use records."},
	"usage_record": {"이용 내역 한 건을 기록합니다.", "Write one use record."},
	"usage_list":   {"거래 또는 정보주체의 이용 내역을 나열합니다.", "List the uses of a transaction or a data subject."},

	"history":         {"이력을 보고 확인합니다.", "Read and verify the history."},
	"history_list":    {"이력을 오래된 것부터 나열합니다.", "List records, oldest first."},
	"history_show":    {"이력 한 건과 그 바이트를 보여 줍니다.", "Show one record with its exact bytes."},
	"history_verify":  {"이력 전체를 과반수 서명과 대조합니다.", "Hold the whole history against a majority's signatures."},
	"history_prove":   {"이력 한 건이 서명된 이력에 들어 있다는 증명을 만듭니다.", "Prove that a record is in the signed history."},
	"history_receipt": {"저장·열람·이용이 남긴 이력의 증명을 받습니다. 체크포인트를 기다립니다.", "Get the proof of what a put, read or use left in the history; waits for a checkpoint."},

	"history_checkpoint": {"과반수가 서명한 체크포인트를 받아 보관합니다.", "Take a checkpoint that a majority signed, and keep it."},
	"cp_last":            {"새로 만들지 않고 가장 새로운 것.", "The newest that there is; takes none."},
	"cp_size":            {"이 건수의 지난 체크포인트.", "The past one of so many records."},
	"cp_dir":             {"이 폴더에 checkpoint-<건수>.note로 보관.", "Keep it in this folder, as checkpoint-<size>.note."},
	"cp_line":            {"한 줄로만 출력 (줄바꿈은 |).", "Print it as one line alone (a bar for each line feed)."},
	"cp_qr":              {"터미널에 QR로도 출력.", "Print it as a QR code as well."},
	"cp_png":             {"QR을 PNG 파일로 저장.", "Write the QR code to this PNG file."},
	"cp_witness":         {"이 증인에게 직접 서명을 요청 (URL).", "Have this witness cosign it now (URL)."},
	"cp_witness_key":     {"그 증인의 공개키 (vkey).", "That witness's verifier key."},
	"cp_wait":            {"정책의 증인들이 서명할 때까지 기다릴 시간.", "How long to wait for the policy's witnesses."},

	"act":        {"여러 사람이 서명하는 결재 행위를 보고 서명합니다.", "Show and sign acts, which several persons sign."},
	"act_list":   {"결재 행위를 나열합니다.", "List acts."},
	"act_show":   {"결재 행위와 그 문서를 보여 줍니다.", "Show an act with what its document says."},
	"act_sign":   {"결재 문서에 자신의 키로 서명합니다.", "Sign an act's document with one's own key."},
	"act_veto":   {"실행되기 전의 결재 행위를 거부합니다.", "Veto an act that is not executed."},
	"act_open":   {"끝나지 않은 것만.", "Only those that are not ended."},
	"act_kind":   {"이 종류만 (special-delete, hold-release, policy 등).", "Only of this kind (special-delete, hold-release, policy, ...)."},
	"act_id":     {"결재 행위의 번호 (16진수 32자).", "The act's id, 32 hexadecimal digits."},
	"act_reason": {"거부하는 사유.", "Why it is vetoed."},

	"act_basis": {"법적 근거.", "The legal basis."},
	"act_why":   {"사유. 결재 문서에 남습니다.", "Why; it stands in the act."},

	"policy":         {"복제된 정책을 보고, 바꾸는 결재를 엽니다.", "Show the replicated policy, and open acts that change it."},
	"policy_show":    {"정책의 모든 값과 그 출처.", "Every value with its source and version."},
	"policy_propose": {"값을 바꾸는 결재를 엽니다. 약해지는 변경은 여러 사람의 서명이 필요합니다.", "Open an act that sets values; what weakens needs several persons."},
	"policy_history": {"정책의 모든 판.", "Every version of the policy."},
	"policy_set":     {"바꿀 값 (예: approvals=3, cooling_off=96h).", "A value to set, as in approvals=3 or cooling_off=96h; may be repeated."},

	"cluster_add":         {"노드를 받아들이는 결재를 엽니다.", "Open the act that admits a node."},
	"cluster_remove":      {"노드를 영구히 내보내는 결재를 엽니다.", "Open the act that lets a node go for good."},
	"cluster_medium":      {"떠난 사본의 매체 파기를 기록하는 결재를 엽니다.", "Open the act that records the destruction of a medium that left."},
	"cluster_request":     {"노드가 만든 요청 (`sagod init node`).", "The node's own request (sagod init node)."},
	"cluster_node":        {"노드의 이름.", "The node's name."},
	"cluster_incarnation": {"떠난 사본의 incarnation (16진수).", "The incarnation that left, hexadecimal."},
	"clock_resync":        {"허용 폭보다 크게 시각을 앞으로 맞추는 결재를 엽니다.", "Open the act that sets the clock forward by more than the slack."},

	"circulation":      {"유통정지 명령을 등록하고 해제합니다.", "Register and lift orders of circulation stop."},
	"circulation_stop": {"유통정지 명령을 등록합니다. 곧바로 열람·이용이 막힙니다.", "Register an order; reads and uses stop at once."},
	"circulation_lift": {"유통정지의 해제를 제안하고 서명합니다 (두 사람).", "Propose lifting an order, and sign it (two persons)."},
	"circulation_list": {"걸려 있는 유통정지 명령을 나열합니다.", "List the orders in force."},

	"special":             {"유통정지된 묶음정보의 특수삭제.", "Special deletion of a bundle whose circulation is stopped."},
	"special_request":     {"특수삭제를 요청합니다. 명령이 없으면 함께 등록됩니다.", "Request a special deletion; registers the order where none stands."},
	"special_approve":     {"대상이 맞는지 대조하고 자신의 키로 승인합니다.", "Check what it is about, and approve it with one's own key."},
	"special_veto":        {"실행되기 전의 특수삭제를 거부합니다.", "Veto a special deletion before it is executed."},
	"special_show":        {"특수삭제 요청을 보여 줍니다.", "Show a request."},
	"special_list":        {"특수삭제 요청을 나열합니다.", "List the requests."},
	"special_ledger":      {"답하는 노드의 특수삭제 원장을 보고 이력·운영체제 기록과 대조합니다.", "Show the answering node's ledger, held against history and the operating system's record."},
	"special_certificate": {"파기 증명서를 받습니다.", "Get the erasure certificate."},
	"request":             {"특수삭제 요청의 번호 (16진수 32자).", "The request's id, 32 hexadecimal digits."},
	"order":               {"유통정지 명령의 번호.", "Number of the order of circulation stop."},
	"requester":           {"요청자 (기관 밖의 사람일 수 있음).", "Who asked for it."},
	"order_basis":         {"근거 (법령, 고시).", "What it rests on."},
	"order_reason":        {"사유.", "The reason."},
	"order_document":      {"명령서 파일; 해시만 기록됩니다.", "The order's document; only its digest is recorded."},

	"certificate":        {"파기 증명서.", "Erasure certificates."},
	"certificate_verify": {"받아 둔 파기 증명서를 아무 데도 묻지 않고 확인합니다.", "Verify a kept erasure certificate without asking anybody."},
	"certificate_file":   {"`--output json`으로 받아 둔 증명서.", "The certificate, as --output json printed it."},
	"certificate_keys":   {"믿는 키 파일 (기본은 컨텍스트의 노드 키).", "Keys file to trust (default: the node keys of the context)."},
	"bundle_certificate": {"만료·폐지·특수삭제된 묶음정보의 파기 증명서를 받습니다.", "Get the erasure certificate of a bundle that has ended."},

	"witness":        {"다른 장비에서 독립된 증인(witness)을 운영합니다.", "Run an independent witness on another machine."},
	"witness_dir":    {"증인의 폴더: 개인키와 본 것들.", "The witness's folder: its key and what it has seen."},
	"witness_keys":   {"로그의 노드 공개키 파일 (sago-keys-1); 여럿 가능.", "Keys file (sago-keys-1) of a log; may be repeated."},
	"witness_listen": {"요청을 받을 주소 (기본 127.0.0.1:7410).", "Address to take requests at (127.0.0.1:7410)."},
	"witness_name":   {"증인의 이름; 폴더를 처음 만들 때만 (기본은 호스트 이름).", "Name of the witness, for a new folder (default: the host's name)."},
	"witness_cert":   {"TLS 인증서 (PEM).", "TLS certificate (PEM)."},
	"witness_key":    {"TLS 개인키 (PEM).", "TLS key (PEM)."},
	"witness_show":   {"상태와 공개키만 보여 줍니다.", "Show its state and verifier key, and end."},

	"clock":          {"신뢰 시각.", "The trusted clock."},
	"clock_status":   {"신뢰 시각의 상태를 보여 줍니다.", "Show the state of the trusted clock."},
	"cluster":        {"노드들.", "The nodes."},
	"cluster_status": {"노드들의 상태를 보여 줍니다.", "Show the state of the nodes."},
	"cluster_verify": {"모든 노드가 자기 파일을 전부 확인합니다.", "Have every node check all its files."},
	"version":        {"판을 보여 줍니다.", "Show the version."},

	"transaction":    {"거래일련번호.", "Transaction number."},
	"part":           {"부분 번호.", "Part of the transaction."},
	"bundle_id":      {"묶음정보 ID (예: MDS0000001).", "Bundle ID, such as MDS0000001."},
	"subject_ci":     {"정보주체의 CI.", "CI of the data subject."},
	"retain":         {"보유기간: 2031-12-31, P5Y, PT30S, one-time, event:P3Y.", "Retention rule: 2031-12-31, P5Y, PT30S, one-time, event:P3Y."},
	"basis":          {"보유기간의 근거.", "What the retention rule rests on."},
	"basis_kind":     {"근거의 종류: statute(법령), subject(정보주체), definition(묶음정보 정의).", "Kind of basis: statute, subject or definition."},
	"media_type":     {"모든 문서의 매체 형식 (기본은 파일 이름에서).", "Media type of every document (default from the file name)."},
	"files":          {"저장할 파일.", "Files to store."},
	"purpose":        {"열람·이용 목적 (필수).", "Purpose of the read or use (required)."},
	"purpose_may":    {"조회 목적.", "Purpose of the query."},
	"user":           {"이용자 이름.", "Name of the user."},
	"department":     {"이용자 소속.", "Department of the user."},
	"contact":        {"이용자 연락처.", "Contact of the user."},
	"to":             {"쓸 파일; - 은 표준출력. 문서가 여럿이면 폴더, 또는 FILE.1, FILE.2 ….", "File to write; - is standard output. Several documents go into a folder, or to FILE.1, FILE.2 ..."},
	"since":          {"이때부터: 2026-03-01 (한국 시각) 또는 RFC 3339.", "From then on: 2026-03-01 (Korean time) or RFC 3339."},
	"until":          {"이때까지: 2026-03-01 (그날을 포함) 또는 RFC 3339.", "Up to then: 2026-03-01 (that day included) or RFC 3339."},
	"expiring":       {"이때 전에 보유기간이 끝나는 것.", "Those whose retention ends before."},
	"limit":          {"많아야 이만큼; 0은 전부.", "At most so many; 0 means all."},
	"action":         {"이 동작만 (예: READ).", "This action only, such as READ."},
	"from":           {"이 일련번호부터.", "From this sequence on."},
	"all":            {"CLOCK과 CHECKPOINT도 포함.", "CLOCK and CHECKPOINT records as well."},
	"sequence":       {"이력 일련번호.", "Sequence of the record."},
	"size":           {"이 건수의 체크포인트로 증명합니다 (기본은 그 이력을 담은 가장 작은 것).", "Prove under the checkpoint of this many records (default: the least that covers it)."},
	"proof_to":       {"증명을 쓸 파일; - 은 표준출력.", "File to write the proof to; - is standard output."},
	"leaf_hash":      {"영수증의 잎 해시 (16진수 64자).", "Leaf hash of the receipt, 64 hex digits."},
	"kept":           {"보관해 둔 체크포인트를 지금의 이력과 (--offline이면 내보낸 이력과) 대조합니다. 여러 번 쓸 수 있습니다.", "Hold a kept checkpoint against the running appliance, or with --offline against the export; may be given several times."},
	"offline":        {"내보낸 폴더를 아무 데도 묻지 않고 확인합니다.", "Verify an exported folder without asking anybody."},
	"keys":           {"--offline이 믿는 키 파일 (기본은 컨텍스트의 노드 키).", "Keys file that --offline trusts (default: the node keys of the context)."},
	"history_keys":   {"컨텍스트의 노드 키를 오프라인 확인용 키 파일로 씁니다.", "Write the context's node keys as a keys file for verifying offline."},
	"history_export": {"이력을 증거로 내보냅니다: 전체, 또는 한 기관의 것.", "Export the history as evidence: all of it, or one institution's."},
	"export_to":      {"내보낼 폴더: 비어 있거나, 멈춘 내보내기를 이어갈 폴더.", "Folder to export to: an empty one, or one where an export stopped and is to go on."},
	"institution":    {"자기 기관의 기록만 (기관 코드). 없으면 이력 전체.", "The records of one's own institution alone (its code). Without it, the whole history."},
}
