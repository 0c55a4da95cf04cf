-- Ends a lease, once: what it held is given back, what was used is counted. Calling it again for the
-- same lease does nothing, as long as its mark lives; a lease that is not known (its time was over,
-- or it began while Redis was away) is counted all the same.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  id of the lease    2  how long its mark lives, in ms
--       3  how long ago it was used, in ms
--       then 6 for each counter: name, kind (w or s), length of a step, of the period, life, amount
-- Gives 1, or 0: it had been settled before.

-- include part_leases.lua
-- include part_counters.lua

local id, ttl, age = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local text = redis.call('HGET', held, id)
if text == '' then
    return 0
end
for i = 4, #ARGV, 6 do
    local period = tonumber(ARGV[i + 3])
    if ARGV[i + 1] == 's' or age < period then
        count(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), period, tonumber(ARGV[i + 4]),
            ARGV[i + 5], now - age)
    end
end
take_back(text or '')
keep(id, '', ttl)
sweep()
return 1
