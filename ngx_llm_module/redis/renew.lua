-- Renews all leases of a worker in one step.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  how long they live from now on, in ms    2...  ids of leases
-- Gives the ids that are not known: adopt them.

-- include part_leases.lua

local ttl, unknown = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
    local text = redis.call('HGET', held, ARGV[i])
    if not text then
        unknown[#unknown + 1] = ARGV[i]
    elseif text ~= '' then
        redis.call('ZADD', leases, now + ttl, ARGV[i])
    end
end
for _, key in ipairs({leases, held, reserved}) do
    redis.call('PEXPIRE', key, 4 * ttl)
end
sweep()
return unknown
