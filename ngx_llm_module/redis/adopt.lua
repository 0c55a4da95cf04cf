-- Enters leases that Redis has forgotten (it was flushed, or restarted without its data) or never
-- knew (they began while it was away). Limits are not asked: the requests are running.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  how long they live, in ms    then 2 for each lease: id, what it holds
-- Gives the number of leases that were entered.

-- include part_leases.lua

local ttl, entered = tonumber(ARGV[1]), 0
for i = 2, #ARGV, 2 do
    if not redis.call('HGET', held, ARGV[i]) then
        for name, amount in string.gmatch(ARGV[i + 1], '(%S+) (%d+)') do
            redis.call('HINCRBY', reserved, name, amount)
        end
        keep(ARGV[i], ARGV[i + 1], ttl)
        entered = entered + 1
    end
end
sweep()
return entered
