-- A different page with every request, so that nothing is a repetition.
-- Arguments: a file of lines "station token", bytes of a photo, number of the first page.
local boundary = "------------------------d74496d66958873e"
local forms = { { "ppwp", 3 }, { "pdpr", 18 }, { "pdpd", 8 }, { "pdprdp", 17 }, { "pdprdk", 17 } }
local pages, stations, count, refused = {}, {}, 0, 0
local head, tail = "", ""

function init(args)
  for _, form in ipairs(forms) do
    for page = 1, form[2] do pages[#pages + 1] = "/forms/" .. form[1] .. "/pages/" .. page end
  end
  for line in io.lines(args[1]) do
    local code, token = line:match("(%S+) (%S+)")
    stations[#stations + 1] = { code, "Bearer " .. token }
  end
  local noise = {}
  math.randomseed(7)
  count = tonumber(args[3])
  for _ = 1, tonumber(args[2]) - 67 do noise[#noise + 1] = string.char(math.random(0, 255)) end
  head = "--" .. boundary .. '\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n'
    .. "Content-Type: image/jpeg\r\n\r\n\255\216" -- start of image, a frame of one grey pixel, the header of its scan
    .. "\255\192\0\11\8\0\1\0\1\1\1\17\0" .. "\255\218\0\8\1\1\0\0\63\0" .. table.concat(noise)
  tail = "\255\217\r\n--" .. boundary .. "--\r\n"
end

function request()
  local station = stations[math.floor(count / #pages) % #stations + 1]
  local page = pages[count % #pages + 1]
  count = count + 1
  local unique = string.format("%040d", count) -- other bytes for every page, so that no digest is known
  return wrk.format("POST", "/v1/stations/" .. station[1] .. page, {
    ["Content-Type"] = "multipart/form-data; boundary=" .. boundary,
    ["Authorization"] = station[2],
  }, head .. unique .. tail)
end

function response(status)
  if status ~= 201 then
    refused = refused + 1
    if refused <= 3 then print("unexpected status " .. status) end
  end
end
