-- A running request needs more than it holds. It is not waiting: it asks for some more than that, so
-- that it need not ask for every event, and stops when even what it has used is too much.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  id of the lease    2  how long it lives without being renewed, in ms
--       then 8 for each counter: name, kind (w or s), length of the period (w, in ms), 1: belongs to
--       the deployment, limit, what it has used, what it would like to hold, what it holds
-- Gives for each counter what it holds now, or -1: the limit has run out.

-- include part_leases.lua
-- include part_counters.lua

local id, ttl, result = ARGV[1], tonumber(ARGV[2]), {}
local text = redis.call('HGET', held, id)
for i = 3, #ARGV, 8 do
    local name, limit, now_held = ARGV[i], tonumber(ARGV[i + 4]), tonumber(ARGV[i + 7])
    local spent
    if ARGV[i + 1] == 'w' then
        spent = read_window(name, tonumber(ARGV[i + 2]))
    else
        spent = tonumber(redis.call('GET', base .. ':' .. name) or 0)
    end
    local left = limit - spent - tonumber(redis.call('HGET', reserved, name) or 0)
    if tonumber(ARGV[i + 5]) - now_held > left then
        result[#result + 1] = -1
    else
        local more = math.min(tonumber(ARGV[i + 6]) - now_held, left)
        if more > 0 and text and text ~= '' then
            redis.call('HINCRBY', reserved, name, string.format('%d', more))
            local word = string.format('%s %d', name, more)
            text = ARGV[i + 3] == '1' and text .. ' ' .. word or word .. ' ' .. text
        end
        result[#result + 1] = now_held + math.max(more, 0)
    end
end
if text and text ~= '' then
    keep(id, text, ttl)
end
return result
