package keyring

const (
	vectorChunk      = "1564e5f08e4991a815115c86a7df98511ef855bb07"
	vectorDetail     = "a588dc99ba4cda08b74294ec21e510e56d4b78"
	vectorCarried    = "4a1e129ce4f1f651cdc1d71b45156c72cb83309417127655acce9f5a6c4ae5f1ab1c13f3ca71f6009e0309acade101b0"
	vectorCommitment = "b800fd3b5cf783ec53ecbf08587cb798b792c9ea74b2e6f68e5ae2a9e25f23a4"
	vectorSubject    = "fb7c93759a218e6aad6d61cc48d07d7b4ee1c0757a2676db8da0187d19782b9e"
)
