from marl.names import keep_ours

keep_ours()
