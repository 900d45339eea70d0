package retention

// suspensionMonths is how long an institution may at most be suspended (휴지기간은
// 6개월을 초과할 수 없다).
const suspensionMonths = 6

// SuspensionLimit is the latest end of a suspension (휴지) that begins at start:
// six calendar months in Korea. Errors wrap ErrRange.
func SuspensionLimit(start Instant) (Instant, error) {
	return span{months: suspensionMonths}.from(start)
}
