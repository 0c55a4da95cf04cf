-- Finds and ends leases of workers that were killed. Their siblings know which live.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  the name of this nginx, with which ids of its leases begin: NAME-PID-NUMBER
--       2...  ids of processes that are gone: what they hold is given back
-- Gives the ids of processes of this nginx that hold something.

-- include part_leases.lua

local gone, pids, seen = {}, {}, {}
for i = 2, #ARGV do
    gone[ARGV[i]] = true
end
local begin = ARGV[1] .. '-'
for _, id in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    if string.sub(id, 1, #begin) == begin then
        local pid = string.match(id, '^(%d+)', #begin + 1)
        local text = redis.call('HGET', held, id) or ''
        if gone[pid] then
            take_back(text)
            redis.call('HDEL', held, id)
            redis.call('ZREM', leases, id)
        elseif pid and not seen[pid] and text ~= '' then
            seen[pid] = true
            pids[#pids + 1] = pid
        end
    end
end
return pids
