-- The workers of one nginx that may hold something: those whose time has not run out.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  how the names of its workers begin
-- Gives their names.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HGETALL', KEYS[1] .. ':workers')
local names = {}
for i = 1, #found, 2 do
    if now < tonumber(found[i + 1]) and string.sub(found[i], 1, #ARGV[1]) == ARGV[1] then
        names[#names + 1] = found[i]
    end
end
return names
