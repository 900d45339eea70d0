package service

// sentences is what a reason says to people, in Korean or English.
func sentences(reason, lang string) string {
	ko, en := bothSentences(reason)
	if lang == "ko" {
		return ko
	}
	return en
}

func bothSentences(reason string) (ko, en string) {
	switch reason {
	case "NOT_FOUND":
		return "해당 번호의 기록이 없습니다", "no record has this number"
	case "EXPIRED":
		return "보유기간이 끝났습니다", "its retention has ended"
	case "CONFLICT":
		return "같은 번호나 이름이 이미 쓰였습니다", "the number or name is taken"
	case "NOT_PERMITTED":
		return "이 작업을 할 권한이 없습니다", "you may not do this"
	case "UNKNOWN_PRINCIPAL":
		return "이 인증서로 등록된 이용자가 없습니다", "nobody is enrolled under this certificate"
	case "RETENTION_RULE":
		return "보유기간 규칙을 받아들일 수 없습니다", "the retention rule is not acceptable"
	case "RETENTION_BASIS":
		return "보유 근거를 받아들일 수 없습니다", "the basis of the retention is not acceptable"
	case "DEFINITION":
		return "사용할 수 있는 묶음정보 정의가 아닙니다", "no such bundle definition is in force"
	case "ONE_TIME_USED":
		return "1회성 열람이 이미 이루어졌습니다", "the one-time view has been taken"
	case "STALE_OPERATION":
		return "요청이 너무 오래 대기했습니다. 다시 보내 주십시오", "the request waited too long; send it again"
	case "KEY_SLOT":
		return "키를 배정하지 못했습니다. 다시 보내 주십시오", "no key could be assigned; send the request again"
	case "NOT_READY":
		return "아직 준비되지 않았습니다. 잠시 뒤 다시 시도하십시오", "not ready yet; try again shortly"
	case "INVALID":
		return "요청 형식이 올바르지 않습니다", "the request is malformed"
	case "PURPOSE_REQUIRED":
		return "이용 목적과 이용자 정보를 밝혀야 합니다", "the purpose and the acting person must be named"
	case "RATE_LIMITED":
		return "요청이 너무 많습니다. 잠시 뒤 다시 시도하십시오", "too many requests; try again shortly"
	case "TOO_LARGE":
		return "허용된 크기를 넘었습니다", "larger than allowed"
	case "HELD":
		return "보존 조치(법적 보류) 중입니다", "a legal hold is in place"
	case "NEEDS_ACT":
		return "서명된 결재가 있어야 할 수 있습니다", "only a signed act may do this"
	}
	return stateSentences(reason)
}

func stateSentences(reason string) (ko, en string) {
	switch reason {
	case "STATE":
		return "현재 상태에서는 할 수 없습니다", "not possible in the present state"
	case "POLICY":
		return "정책이 허용하지 않습니다", "the policy does not allow it"
	case "SPECIAL_DELETED":
		return "특수삭제되었습니다", "it was specially deleted"
	case "CIRCULATION_STOPPED":
		return "유통정지 중입니다", "its circulation is stopped by an order"
	case "SUSPENDED":
		return "기관이 휴지 중입니다", "the institution is suspended"
	case "CLOSED":
		return "기관이 폐지되었거나 폐지 중입니다", "the institution is closing or closed"
	case "LAPSED":
		return "결재 행위의 유효기간이 지났습니다", "the act has lapsed"
	case "SIGNER":
		return "이 결재 행위에 서명할 수 없습니다", "not one who may sign this act"
	case "QUOTA":
		return "기관의 저장 한도를 넘습니다", "the institution's quota would be exceeded"
	case "RESTORED":
		return "손실을 선언하고 복구한 뒤 아직 확인되지 않았습니다", "restored with a declared loss that is not confirmed yet"
	case "CLOCK":
		return "시각을 확정할 수 없습니다", "the clock is not settled"
	case "MEMBER":
		return "노드 구성이 맞지 않습니다", "the node is not a member as it says"
	case "SIGNATURE":
		return "서명이 확인되지 않습니다", "a signature does not verify"
	case reasonNotCovered:
		return "아직 체크포인트에 포함되지 않았습니다. 잠시 뒤 다시 시도하십시오", "no checkpoint covers it yet; try again shortly"
	case reasonNoCheckpoint:
		return "아직 체크포인트가 없습니다. 잠시 뒤 다시 시도하십시오", "there is no checkpoint yet; try again shortly"
	case reasonUnavailable:
		return "과반수의 노드가 응답하지 않습니다. 처리 여부는 다시 확인하십시오", "no majority answers; whether it took place is not known"
	case reasonKeyMissing:
		return "이 노드에 키가 없습니다. 키 블록이 다른 노드에서 오거나 키 보관본을 되돌린 뒤 다시 시도하십시오", "the key is not on this node; try again once its block came from another node, or a key archive was restored"
	case reasonStorageFull:
		return "저장 공간이 부족하여 새로 저장할 수 없습니다", "there is no room for new bundles"
	case reasonDamage:
		return "저장된 자료의 손상이 발견되었습니다", "what is stored is damaged"
	case reasonTimeout:
		return "제한 시간 안에 끝나지 않았습니다", "not done within its time"
	case reasonCanceled:
		return "요청이 취소되었습니다", "the call was cancelled"
	}
	return "내부 오류입니다", "internal error"
}
